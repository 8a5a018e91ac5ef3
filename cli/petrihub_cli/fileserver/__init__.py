"""The file server: OpenSSH with SFTP alone, one folder for each person and group."""
