"""The tests of the portal that lean on the tables most, once more on PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.portal import (
    test_audit_trail,
    test_groups,
    test_home,
    test_logo,
    test_people,
    test_requests,
    test_sharing,
)
from tests.portal.conftest import open_studio
from tests.portal.guests import Site
from tests.portal.workspaces import Studio

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def site(postgres_site: Site) -> Site:
    return postgres_site


@pytest.fixture(scope="module")
def studio(site: Site) -> Iterator[Studio]:
    yield from open_studio(site)


menu = test_requests.menu
group = test_groups.group
bob = test_sharing.bob
logo = test_logo.logo

test_people_are_found = test_people.test_the_list_finds_people_by_name_role_group_and_state
test_roles_count_at_once = test_people.test_ticked_boxes_are_the_roles_and_count_at_once
test_audit_pages = test_audit_trail.test_pages_follow_each_other_without_a_gap
test_home_at_the_limit = test_home.test_at_the_limit_the_page_says_so
test_home_of_another = test_home.test_another_persons_workspace_is_not_there
test_size_asked_for = test_requests.test_a_bigger_size_is_asked_for_approved_and_prolonged
test_declined = test_requests.test_declining_needs_words_and_they_arrive
test_two_answers = test_requests.test_of_two_who_answer_at_once_one_wins_and_the_other_is_told
test_not_to_be_asked = test_requests.test_what_is_not_to_be_asked_for_is_refused_in_words
test_open_group = test_groups.test_only_a_group_that_is_open_is_told_to_others_and_asked_for
test_group_manager = test_groups.test_a_manager_answers_for_this_group_and_for_nothing_else
test_share_by_link = test_sharing.test_a_link_lets_in_whoever_has_it_until_it_ends
test_shares_have_a_limit = test_sharing.test_nobody_makes_shares_without_end
test_share_in_the_feed = test_sharing.test_who_is_given_a_share_reads_it_in_the_feed
test_logo_versions = test_logo.test_it_is_a_version_of_the_page_and_can_be_put_back
test_logo_served = test_logo.test_it_is_served_to_strangers_as_a_png_for_ever_and_holds_pixels_only


class TestImport:
    test_taken_as_a_whole = test_people.TestImport.test_a_list_is_shown_then_taken_as_a_whole
