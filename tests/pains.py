"""The table of what PyKafka's users suffered from; test_known_pains.py looks after it."""

from __future__ import annotations

from typing import NamedTuple, Optional

SASL = "SASL"


class Pain(NamedTuple):
    """One row: a number (the lesser ones have none), what used to happen, what happens now, and who shows it.

    ``waits_for`` says what is not there yet: the tests show the part that can be shown without it.
    """

    number: Optional[int]
    was: str
    now: str
    tests: tuple[str, ...]
    waits_for: str = ""


PAINS = [
    Pain(
        1,
        "A message took five seconds to leave, so that short scripts seemed to hang.",
        "``linger_ms`` is 5, and whoever waits has everything sent at once.",
        (
            "fake/test_old_pains.py::test_messages_one_by_one_leave_at_once_with_default_settings",
            "real/test_original_producers.py::test_a_producer_for_every_single_message_is_slow_no_more",
            "real/test_original_producers.py::test_settings_that_made_the_old_producer_fast_or_slow_lose_nothing",
        ),
    ),
    Pain(
        2,
        "Messages were lost, without a word, when a producer stopped or the program ended.",
        "Stopping and ending send what is queued; what could not be sent is counted, raised or warned about.",
        (
            "real/test_exit_and_fork.py::test_what_is_queued_when_the_interpreter_ends_is_sent",
            "real/test_exit_and_fork.py::test_what_cannot_be_sent_at_exit_is_one_warning_with_the_exact_number",
            "fake/test_produce_and_fetch.py::test_flush_that_runs_out_of_time_says_how_many_are_undecided",
            "fake/test_producer_troubles.py::test_what_a_dropped_producer_had_queued_is_sent_and_then_nothing_of_it_is_left",
            "fake/test_producer_troubles.py::test_stop_that_was_interrupted_is_finished_by_the_next_one",
        ),
    ),
    Pain(
        3,
        "With a full queue and a broker that went away the producer waited for itself for ever.",
        "Retries never pass through the queue of the user, and every wait has an end.",
        (
            "fake/test_old_pains.py::test_a_full_queue_and_connections_that_break_do_not_wait_for_each_other",
            "fake/test_produce_and_fetch.py::test_a_full_queue_blocks_until_there_is_room",
            "fake/test_producer_queue.py::test_who_needs_much_room_is_not_starved_by_many_who_need_little",
            "real/test_faults.py::test_a_single_broker_that_restarts_takes_what_was_produced_meanwhile",
        ),
    ),
    Pain(
        4,
        "Failures were not reported, and one unexpected exception took a whole batch and the worker with it.",
        "Every message has exactly one outcome, in time, and nothing ends the I/O thread in silence.",
        (
            "fake/test_produce_and_fetch.py::test_a_refusal_is_raised_by_result_reported_and_given_to_the_callback",
            "fake/test_produce_and_fetch.py::test_what_cannot_be_delivered_is_an_error_that_says_whether_it_may_have_been_written",
            "fake/test_producer_troubles.py::test_messages_that_cannot_be_in_one_batch_fail_and_take_nobody_with_them",
            "fake/test_io_thread.py::test_an_outcome_that_cannot_be_handled_takes_no_other_with_it",
            "fake/test_io_thread.py::test_when_the_thread_dies_everything_that_waits_fails_and_later_calls_say_why",
        ),
    ),
    Pain(
        5,
        "Retries changed the order of messages and wrote some of them twice.",
        "The producer is idempotent: order is kept and nothing is written twice, also across retries and new leaders.",
        (
            "unit/machines/test_accumulator_stories.py::test_while_nothing_is_refused_for_good_every_row_is_written_exactly_once",
            "unit/machines/test_accumulator_stories.py::test_nothing_is_written_twice_whatever_happens",
            "real/test_faults.py::test_killing_a_leader_under_load_loses_nothing_and_repeats_nothing",
            "real/test_faults.py::test_freezing_a_leader_longer_than_a_request_may_take_repeats_nothing",
        ),
    ),
    Pain(
        6,
        "A managed consumer died or stalled when a broker failed.",
        "It looks for the new coordinator, keeps its seat, and goes on.",
        (
            "real/test_faults.py::test_a_consumer_goes_on_when_the_leader_it_reads_from_dies",
            "real/test_group_faults.py::test_a_group_goes_on_when_its_coordinator_dies",
        ),
    ),
    Pain(
        7,
        "After a socket error the heartbeats ended; the consumer read on and never committed again.",
        "A member that has lost its seat joins again by itself, reads on, and commits.",
        (
            "real/test_balanced_consumers.py::test_a_member_that_is_put_out_joins_again_reads_on_and_commits",
            "unit/machines/test_group_simulation.py::test_whatever_happens_every_partition_has_one_reader_and_everybody_a_fair_share",
        ),
    ),
    Pain(
        8,
        "Commits that a rebalance made impossible were tried for ten seconds and then only logged.",
        "Offsets are committed before partitions are given up; a commit that comes too late is raised, and says why.",
        (
            "real/test_balanced_consumers.py::test_a_commit_after_the_group_has_moved_on_says_which_generation_that_was_and_what_to_do",
            "real/test_balanced_consumers.py::test_the_user_is_told_and_then_offsets_are_committed_before_partitions_are_given_up",
            "fake/test_old_pains.py::test_a_commit_that_the_group_refuses_is_raised_at_once_and_not_tried_again",
            "fake/test_offsets.py::test_a_commit_that_fails_for_good_is_raised_with_group_topic_partition_and_code",
        ),
    ),
    Pain(
        9,
        "A rebalance committed, also with auto-commit off, and nobody was asked before.",
        "Auto-commit off means off, and ``on_revoke`` is called before anything is given up.",
        (
            "real/test_balanced_consumers.py::test_without_auto_commit_a_rebalance_commits_nothing",
            "real/test_balanced_consumers.py::test_the_user_is_told_and_then_offsets_are_committed_before_partitions_are_given_up",
            "real/test_offset_rules.py::test_without_auto_commit_nothing_is_committed_behind_ones_back",
        ),
    ),
    Pain(
        10,
        "Around rebalances messages came twice, got lost, or came from partitions that were somebody else's by then.",
        "What is given up is fenced before anybody else hears of it: each message is read once while members come and go.",
        (
            "real/test_balanced_consumers.py::test_members_share_partitions_and_each_message_is_read_once_whoever_comes_and_goes",
            "unit/machines/test_group_simulation.py::test_whatever_happens_every_partition_has_one_reader_and_everybody_a_fair_share",
        ),
    ),
    Pain(
        11,
        "Consumers froze.",
        "Every request has a time limit and is made again; a consumer waits only while there is nothing to read.",
        (
            "fake/test_old_pains.py::test_a_fetch_that_nobody_answers_is_given_up_and_asked_again",
            "fake/test_consumer_troubles.py::test_a_coordinator_that_hangs_is_given_up_in_time_for_another_try",
            "fake/test_consumer_troubles.py::test_looking_for_a_message_never_waits_for_another_threads_start",
            "real/test_consumer.py::test_stopping_wakes_a_waiting_consumer_with_an_error",
            "real/test_faults.py::test_a_consumer_goes_on_when_the_leader_it_reads_from_dies",
        ),
    ),
    Pain(
        12,
        "``reset_offsets()`` and looking up offsets by time went to the wrong place, or to one that nobody understood.",
        "A time means the first message at or after it; an integer is the last one consumed, and is checked.",
        (
            "real/test_original_offsets.py::test_everything_since_a_moment",
            "real/test_original_offsets.py::test_an_integer_given_to_reset_offsets_is_the_last_one_consumed",
            "real/test_consumer.py::test_offsets_of_a_topic_by_place_and_by_time",
            "fake/test_consumer_troubles.py::test_offsets_that_cannot_be_are_refused_and_nothing_moves",
        ),
    ),
    Pain(
        13,
        "A gap in the offsets, as compaction and transactions leave them, stalled a partition for ever.",
        "Gaps are read over, and so are the markers of transactions.",
        (
            "fake/test_old_pains.py::test_gaps_between_batches_are_read_over",
            "unit/records/test_decode.py::test_records_that_compaction_removed_leave_gaps",
            "unit/machines/test_turns.py::test_a_batch_without_messages_moves_the_position_all_the_same",
            "real/test_consumer.py::test_reading_committed_messages_only_skips_aborted_ones_and_markers",
        ),
    ),
    Pain(
        14,
        "``auto_offset_reset`` was not respected.",
        "Where a consumer starts is one table, and it is tested row by row.",
        (
            "real/test_offset_rules.py::test_where_a_consumer_starts_and_what_is_committed_at_once",
            "real/test_original_offsets.py::test_eight_groups_with_every_kind_of_initial_offset",
        ),
    ),
    Pain(
        15,
        "A message larger than ``fetch_message_max_bytes`` ended the consumer.",
        "It is read like any other.",
        (
            "real/test_old_pains.py::test_a_message_larger_than_fetch_message_max_bytes_is_read_like_any_other",
            "fake/test_produce_and_fetch.py::test_a_batch_cut_off_at_the_end_is_fetched_again_whole",
        ),
    ),
    Pain(
        16,
        "A ``broker_version`` that was wrong or missing gave decoding errors and no timestamps.",
        "Versions are agreed on with each broker, and the option changes nothing.",
        (
            "real/test_original_clients.py::test_clients_of_old_settings",
            "real/test_original_producers.py::test_timestamps_as_datetime_as_number_and_by_default",
            "fake/test_connecting.py::test_an_old_broker_without_the_newest_api_versions_is_asked_again_with_what_it_has",
        ),
    ),
    Pain(
        17,
        "An error code that the client did not know was a ``KeyError``.",
        "Every code of today's Kafka is known, and any other is an ``UnknownError`` with its number.",
        (
            "fake/test_old_pains.py::test_a_code_that_nobody_knows_fails_what_it_is_about_and_nothing_else",
            "unit/test_exceptions.py::test_a_code_we_do_not_know_is_an_unknown_error_that_carries_the_number",
        ),
    ),
    Pain(
        18,
        "When a group's offsets could not be had the consumer started from the beginning.",
        "An error is never taken for \"nothing committed\": it is tried again, and raised if it stays.",
        (
            "fake/test_offsets.py::test_a_passing_error_at_any_level_is_tried_again_and_then_the_committed_offset_counts",
            "fake/test_offsets.py::test_an_error_that_stays_is_raised_and_never_taken_for_nothing_committed",
        ),
    ),
    Pain(
        19,
        "One broker that could not be reached, or a partition without a leader, made the whole cluster useless.",
        "Connections are made when they are needed, errors concern one partition, and a broker may move. A consumer"
        " starts without a partition that has no leader. (Only one that begins at the latest offset, or was given partitions, and"
        " has to look up where to start waits for the leaders of all of them.)",
        (
            "fake/test_changing_topics.py::test_a_consumer_starts_without_a_partition_that_has_no_leader_and_reads_it_later",
            "fake/test_old_pains.py::test_a_broker_that_cannot_be_reached_hinders_no_other",
            "fake/test_old_pains.py::test_a_partition_without_a_leader_hinders_no_other",
            "fake/test_connecting.py::test_the_client_finds_the_one_host_that_works_among_dead_ones",
            "fake/test_connections.py::test_connections_to_where_no_broker_is_any_more_are_closed",
        ),
    ),
    Pain(
        20,
        "The processor was busy with nothing to do: with ``linger_ms=0``, full queues, or no partitions.",
        "Who waits sleeps until there is something.",
        (
            "fake/test_old_pains.py::test_a_client_with_nothing_to_do_sleeps",
            "fake/test_produce_and_fetch.py::test_a_paused_partition_with_messages_waiting_does_not_keep_the_processor_busy",
            "fake/test_consumer_troubles.py::test_an_answer_that_leads_nowhere_is_not_asked_for_again_at_once",
            "fake/test_producer_queue.py::test_asking_a_full_queue_again_and_again_does_not_flood_the_io_thread",
        ),
    ),
    Pain(
        21,
        "There were no headers, and topics that had some could not be read.",
        "``produce(headers=...)`` and ``message.headers``.",
        (
            "real/test_producer.py::test_messages_come_back_as_they_were_produced",
            "real/test_interop.py::test_what_we_write_another_client_reads",
            "real/test_interop.py::test_what_another_client_writes_we_read",
        ),
    ),
    Pain(
        22,
        "Under gevent there were deadlocks, and delivery reports went astray.",
        "Everything works in a program that gevent has patched; one that is patched in part is told what is missing.",
        (
            "real/test_gevent.py::test_the_hub_still_ticks_while_consume_waits",
            "real/test_gevent.py::test_what_ends_a_waiting_consume_ends_it_in_a_greenlet_too",
            "real/test_gevent.py::test_greenlets_produce_at_once_and_each_reads_its_own_reports",
            "real/test_gevent.py::test_a_program_that_is_not_patched_or_only_in_part_works_or_is_told_what_is_missing",
        ),
    ),
    Pain(
        23,
        "In forked processes (multiprocessing, celery, gunicorn) calls hung.",
        "They raise ``ForkedError``: a child makes a client of its own, and the parent's goes on.",
        (
            "real/test_exit_and_fork.py::test_a_forked_child_is_told_to_make_a_client_of_its_own_and_the_parent_goes_on",
            "real/test_original_clients.py::test_worker_processes_that_each_make_their_client_when_they_first_need_it",
            "real/test_original_clients.py::test_workers_forked_with_a_client_already_made_are_told_and_the_parent_is_not_harmed",
            "fake/test_consumer_troubles.py::test_in_a_forked_child_a_consumer_raises_and_gives_none_of_the_parents_messages",
        ),
    ),
    Pain(
        24,
        "Memory grew with delivery reports that nobody read, and threads and sockets were left behind.",
        "Unread reports are bounded; ``client.close()`` ends everything, and so does dropping the client.",
        (
            "fake/test_old_pains.py::test_unread_delivery_reports_are_bounded_and_warned_about_once",
            "fake/test_connections.py::test_a_client_has_one_io_thread_however_much_is_made_from_it",
            "real/test_exit_and_fork.py::test_dropping_a_client_without_closing_it_leaves_no_thread_behind",
            "real/test_original_consumers.py::test_a_consumer_made_in_a_loop_after_errors_does_not_pile_up",
        ),
    ),
    Pain(
        25,
        "One topic for each producer and consumer, every further one made all of them slower, and a group over two topics went"
        " wrong.",
        "All producers and consumers of a client share its thread, its connections and its picture of the cluster.",
        (
            "real/test_old_pains.py::test_fifty_consumers_of_one_client_start_in_no_time_and_all_get_what_is_new",
            "real/test_producer.py::test_a_dict_of_producers_is_used_by_several_threads_at_once",
            "real/test_original_producers.py::test_one_producer_for_each_topic_made_when_it_is_first_needed",
            "real/test_balanced_consumers.py::test_one_member_reads_several_topics",
        ),
    ),
    # -- the lesser ones ------------------------------------------------------------------------------------------------
    Pain(
        None,
        "Many consumers started slowly, and fifty of them lagged behind.",
        "They are no threads, and share connections.",
        ("real/test_old_pains.py::test_fifty_consumers_of_one_client_start_in_no_time_and_all_get_what_is_new",),
    ),
    Pain(
        None,
        "A deserializer was called for no message at all, and failed.",
        "It sees messages only.",
        ("fake/test_old_pains.py::test_a_deserializer_is_never_called_without_a_message",),
    ),
    Pain(
        None,
        "A message without content ended the loop over a consumer.",
        "A message is true whatever it holds.",
        (
            "unit/records/test_message.py::test_a_message_is_true_whatever_it_holds",
            "real/test_original_consumers.py::test_json_in_json_out_with_tombstones",
        ),
    ),
    Pain(
        None,
        "Compression failed between clients, LZ4 above all, and there was no zstd.",
        "All four codecs, read and written by other clients.",
        (
            "real/test_interop.py::test_what_we_write_another_client_reads",
            "real/test_interop.py::test_what_another_client_writes_we_read",
            "real/test_consumer.py::test_compressed_and_plain_batches_of_one_topic_are_read_alike",
        ),
    ),
    Pain(
        None,
        "TLS did not look at the host's name.",
        "It does, unless told otherwise.",
        ("fake/test_tls.py::test_a_broker_whose_certificate_names_another_host_is_refused_unless_told_otherwise",),
    ),
    Pain(
        None,
        "IPv6 addresses could not be given as hosts.",
        "They can, in brackets.",
        (
            "unit/test_config.py::test_hosts_are_parsed",
            "fake/test_connecting.py::test_every_address_of_a_name_is_named_and_ipv6_has_its_brackets",
        ),
    ),
    Pain(
        None,
        "Partitions that a topic was given were only seen after a restart.",
        "They are read from their beginning.",
        (
            "real/test_changing_topics.py::test_partitions_that_a_topic_gets_while_it_is_read_are_read_too",
            "fake/test_changing_topics.py::test_a_partition_that_appears_is_read_from_its_beginning_whatever_the_reset",
        ),
    ),
    Pain(
        None,
        "What went wrong at the start was hidden behind a ``ConsumerStoppedException`` later on.",
        "The constructor and ``start()`` raise it.",
        ("fake/test_offsets.py::test_an_error_that_stays_is_raised_and_never_taken_for_nothing_committed",),
    ),
    Pain(
        None,
        "The lag of a group was wrong by one.",
        "What is committed is the next message to read, as with every other client.",
        (
            "real/test_original_offsets.py::test_lag_of_a_group_is_watched_without_moving_it",
            "real/test_offset_rules.py::test_another_client_sees_what_we_committed_and_we_see_what_it_did",
        ),
    ),
    Pain(
        None,
        "Programs hung at their end now and then.",
        "They end at once, whatever was not stopped.",
        (
            "real/test_original_clients.py::test_a_script_that_stops_nothing_ends_at_once",
            "real/test_original_producers.py::test_a_script_that_never_stops_its_producer_loses_nothing_and_ends_at_once",
        ),
    ),
    Pain(
        None,
        "Large messages waited for ``linger_ms`` one after the other.",
        "They wait for it once.",
        ("fake/test_old_pains.py::test_large_messages_wait_for_linger_once_and_not_one_after_the_other",),
    ),
    Pain(
        None,
        "Nobody said what threads may share.",
        "A client, a producer and a consumer, and each thread gets the reports of what it produced.",
        (
            "real/test_original_producers.py::test_threads_share_a_sync_producer",
            "real/test_original_producers.py::test_threads_share_a_producer_and_each_gets_its_own_reports",
            "real/test_consumer.py::test_threads_may_share_a_consumer_and_each_message_goes_to_one_of_them",
        ),
    ),
    Pain(
        None,
        "More consumers than partitions were refused.",
        "They wait until there is something for them.",
        ("real/test_balanced_consumers.py::test_more_members_than_partitions_wait_until_there_is_something_for_them",),
    ),
    Pain(
        None,
        "``consumer_timeout_ms`` of a balanced consumer meant something else.",
        "It means the same in all consumers: how long one call waits.",
        ("real/test_balanced_consumers.py::test_more_members_than_partitions_wait_until_there_is_something_for_them",),
    ),
    Pain(
        None,
        "A group could not subscribe to topics by a pattern.",
        "``client.get_balanced_consumer(group, pattern=...)`` does, also to topics that come later.",
        ("real/test_balanced_consumers.py::test_topics_that_match_a_pattern_are_read_also_when_they_come_later",),
    ),
    Pain(None, "There was no SASL.", "", (), SASL),
    # -- found in the source, and perhaps never reported ------------------------------------------------------------------
    Pain(
        None,
        "Metadata was only ever asked of the hosts first given, so that a cluster was lost with them.",
        "Any broker is asked.",
        ("fake/test_old_pains.py::test_metadata_is_refreshed_from_any_broker_when_the_seeds_are_gone",),
    ),
    Pain(
        None,
        "A second managed consumer spoke plaintext to a TLS listener.",
        "Every connection of a client is made with its settings.",
        ("fake/test_old_pains.py::test_every_connection_of_a_tls_client_speaks_tls",),
    ),
    Pain(
        None,
        "Answers were not matched with their requests, and a fetch that waited held up everything else.",
        "They are, and fetching has connections of its own.",
        (
            "fake/test_connecting.py::test_a_wrong_correlation_id_closes_the_connection_and_the_next_one_is_used",
            "real/test_raw_requests.py::test_fetches_that_wait_hold_up_nothing_else",
        ),
    ),
    Pain(
        None,
        "Two managed consumers of different topics in one process both asked for the last one.",
        "Each asks for its own.",
        ("real/test_balanced_consumers.py::test_two_consumers_of_different_topics_in_one_process_get_each_its_own",),
    ),
    Pain(
        None,
        "A producer that had failed once raised the same error again after ``stop()`` and ``start()``.",
        "It starts anew.",
        (
            "fake/test_producer_troubles.py::test_a_producer_that_could_not_send_for_want_of_rights_can_once_it_has_them",
            "real/test_original_producers.py::test_the_usage_guides_recovery",
        ),
    ),
    Pain(
        None,
        "A sync message whose answer came too late was taken for the next one.",
        "Each call waits for its own message.",
        ("fake/test_old_pains.py::test_the_late_outcome_of_a_sync_message_is_not_taken_for_the_next_one",),
    ),
    Pain(
        None,
        "The checksums of messages were never looked at.",
        "A batch that fails its checksum is an error with its place, and nothing is skipped.",
        (
            "fake/test_produce_and_fetch.py::test_a_corrupt_batch_is_an_error_with_topic_partition_and_offset_and_nothing_is_skipped",
            "unit/records/test_decode.py::test_every_single_flipped_byte_under_the_checksum_is_corrupt",
        ),
    ),
    Pain(
        None,
        "When the offsets of some partitions could not be had, 0 was committed for them.",
        "A partition whose place is not known is never committed.",
        ("fake/test_old_pains.py::test_a_partition_whose_offset_could_not_be_had_is_never_committed",),
    ),
    Pain(
        None,
        "After a retry ``stop()`` waited for all the time it had.",
        "It returns as soon as everything has its outcome.",
        ("fake/test_old_pains.py::test_stop_after_a_retry_returns_as_soon_as_everything_has_its_outcome",),
    ),
]  # fmt: skip
