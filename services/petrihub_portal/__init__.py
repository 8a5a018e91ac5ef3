"""The portal: home of researchers, panel of administrators, REST API."""
