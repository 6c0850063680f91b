"""Kinds of misleading rules and panels that there were once, each with a test that fails on the rules of that time.

A test is `module: function`, in tests/rules or tests/dashboards. What is marked was right then, too, and stays so.
"""

from __future__ import annotations

from collections.abc import Mapping

MISLEADING: Mapping[str, tuple[str, ...]] = {
    "speed-up and regret counted bypasses": (
        "test_misleading: test_bypasses_change_neither_the_speedup_nor_the_regret",
    ),
    "a pipeline that is all bypassed raised nothing": (
        "test_misleading: test_a_pipeline_that_is_all_bypassed_is_told",
    ),
    "callers were refused, and no rule read HTTP statuses": (
        "test_misleading: test_a_share_of_answers_is_told_whatever_caused_it",
    ),
    "nothing but answers 500 raised nothing": ("test_misleading: test_nothing_but_errors_is_critical",),
    "refusals were judged by their number": (
        "test_misleading: test_a_share_of_misses_that_is_refused_at_an_even_pace_is_told_once",
        "test_misleading: test_a_burst_of_refusals_among_many_generations_is_no_matter",
    ),
    "a crash loop silenced its own alerts": ("test_misleading: test_a_crash_loop_silences_nothing_and_is_told_itself",),
    "so did an autoscaler, and a clock that is ahead": (
        "test_misleading: test_an_autoscaler_that_brings_new_instances_silences_nothing",
        "test_misleading: test_a_clock_that_is_six_hours_ahead_silences_nothing",
    ),
    "a collapse that slowed its callers muted itself": (
        "test_misleading: test_a_collapse_that_slows_its_callers_does_not_mute_itself",
    ),
    "bursts muted it": ("test_misleading: test_bursts_do_not_mute_it",),
    "a steady ratio near its target fired and cleared all day": (
        "test_misleading: test_a_ratio_just_below_its_target_is_told_once_a_day",
    ),
    "a job of another name was forgotten after a day of being down": (
        "test_targets: test_a_job_of_another_name_is_not_forgotten_while_it_is_down",
    ),
    "three minutes out of reach were critical": ("test_targets: test_three_minutes_out_of_reach_raise_nothing",),
    "scaling down warned for fifty minutes": (
        "test_targets: test_scaling_down_raises_nothing",
        "test_targets_end_to_end: test_targets_that_go_are_told_by_how_they_went",
    ),
    "a namespace that was torn down was critical for a day": (
        "test_targets: test_a_namespace_that_is_torn_down_is_told_for_two_hours",
        "test_targets_end_to_end: test_targets_that_go_are_told_by_how_they_went",
    ),
    "an instance that was lost was forgotten after fifty minutes": (
        "test_targets: test_one_that_was_down_before_it_went_is_told_for_hours",
        "test_targets_end_to_end: test_targets_that_go_are_told_by_how_they_went",
    ),
    "failed callers' waits were missing from the speed-up": (
        "test_misleading: test_the_waits_of_callers_whose_generation_failed_count",
    ),
    "one of four instances without hits raised nothing": (
        "test_misleading: test_one_of_four_instances_without_hits_is_told",
    ),
    "a regret of 60 % in one pipeline raised nothing": (
        "test_misleading: test_a_regret_of_a_small_pipeline_is_not_lost_beside_a_large_one",
    ),
    "generations that became ten times slower raised nothing": (
        "test_misleading: test_generations_that_become_slower_are_told_from_three_times_on",
    ),
    "failures of all of a few generations an hour came and went": (
        "test_misleading: test_all_of_ten_or_twenty_an_hour_that_fail_are_told_once",
    ),
    "a leak of 40 MB a day raised nothing": (
        "test_memory: test_forty_megabytes_a_day_are_told_though_no_day_is_remarkable",
    ),
    "a drift of 30 % took 22 hours": (
        "test_memory: test_a_process_that_takes_thirty_percent_more_than_it_accounts_for_is_told_while_it_fills",
        "test_memory: test_a_full_cache_whose_process_grows_by_thirty_percent_within_an_hour_is_told_within_two",
    ),
    "young evictions of entries of 150 MB, or by size, were silent": (
        "test_memory: test_entries_of_150_megabytes_that_leave_young_are_told",
        "test_memory: test_a_limit_of_entries_that_evicts_the_young_is_told_though_there_is_memory",
    ),
    "a new pipeline, a cold scan and a refill raised the headline alerts": (
        "test_misleading: test_a_new_pipeline_of_an_old_process_may_warm_up",
        "test_misleading: test_what_is_no_collapse_raises_nothing",
    ),
    "one internal error warned for a quarter of an hour": ("test_misleading: test_one_internal_error_is_no_matter",),
    "a budget gave a threshold above 100 %; nan and inf gave tracebacks": (
        "test_rules: test_a_threshold_that_means_nothing_is_refused_in_one_line",
        "test_rules: test_no_alert_can_ask_for_more_than_all",
        "test_rules: test_no_threshold_takes_what_no_figure_can_be",
    ),
    "every group was evaluated every 15 s": ("test_rules: test_groups_with_long_windows_have_intervals_that_fit_them",),
    "texts and links of alerts named no cluster": (
        "test_rules: test_links_are_absolute_and_choose_what_the_alert_is_about",
        "test_runbook: test_no_query_adds_jobs_of_several_clusters_or_namespaces",
    ),
    "a panel of 30 days rated every bucket": ("test_build: test_latency_is_read_from_what_is_recorded",),
    "clusters with equal addresses were added": (
        "test_clusters: test_a_panel_shows_what_is_true",
        "test_clusters: test_a_tile_says_what_is_true",
        "test_build: test_no_aggregation_adds_clusters_or_namespaces",
    ),
    "alerts firing was a green 0 without rules, or without alerts": (
        "test_clusters: test_a_tile_says_what_is_true",
        "test_build: test_a_figure_without_a_value_is_never_green",
    ),
    "instances scraped was green from 1 on": ("test_clusters: test_a_tile_says_what_is_true",),
    "a dead service read as no traffic": (
        "test_clusters: test_what_is_dead_vanished_or_without_rules_is_nowhere_green",
        "test_clusters: test_a_job_that_has_just_died_is_not_told_by_its_last_minutes",
    ),
    "no hit ratio by instance, no share of refusals": ("test_clusters: test_every_panel_has_its_truth",),
    "names of pipelines with . - and + were read as patterns": (
        "test_clusters: test_a_chosen_pipeline_is_taken_by_its_letters",
        "test_build: test_variables_are_whole_patterns_that_grafana_escapes",
    ),
    # What was right then, too, and stays so.
    "callers' own faults are no failures (right then)": (
        "test_misleading: test_a_fault_of_the_callers_own_is_no_failure",
    ),
    "quiet night, cold start, rolling restart, idle, ten-minute generations raise nothing (right then)": (
        "test_misleading: test_what_is_no_collapse_raises_nothing",
        "test_misleading: test_a_rolling_restart_raises_nothing",
        "test_misleading: test_generations_that_take_ten_minutes_raise_nothing",
    ),
    "a Prometheus that was away raises nothing (right then)": ("test_targets: test_nothing_is_raised_when_it_is_back",),
    "one of five pipelines, a speed-up below 1, a slow fall are caught (right then)": (
        "test_misleading: test_one_of_five_pipelines_collapses",
        "test_misleading: test_a_speedup_below_one_is_told",
        "test_misleading: test_a_slow_fall_is_caught",
    ),
}
