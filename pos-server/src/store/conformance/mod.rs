//! What every engine must do, said once. The suite knows only verbs and [`Reader`]; an engine runs
//! it with `conformance_suite!` and a function that opens an empty database.
//!
//! [`Reader`]: super::engine::Reader

#![expect(clippy::arithmetic_side_effects, reason = "arithmetic in a test overflows loudly")]

pub(super) mod access;
pub(super) mod audit;
pub(super) mod bed;
pub(super) mod groups;
pub(super) mod isolation;
pub(super) mod leases;
pub(super) mod manage;
pub(super) mod model;
pub(super) mod money;
pub(super) mod notices;
pub(super) mod reads;
pub(super) mod settlement;

/// One `#[test]` for each case of the suite. The argument is a function that answers a
/// [`bed::Opened`].
macro_rules! conformance_suite {
    ($open:path) => {
        #[test]
        fn a_random_history_goes_as_the_model_says() {
            $crate::store::conformance::model::a_random_history_goes_as_the_model_says($open);
        }

        conformance_suite! { $open =>
            access {
                an_enrolment_code_is_spent_once
                a_registration_repeats_until_the_keys_first_call
                an_enrolment_code_ends_and_is_replaced
                a_lost_key_is_replaced_by_a_new_code
                a_session_opens_once_and_ends
                an_ended_key_stays_ended
                wrong_passwords_lock_until_the_time_is_over
                a_new_password_ends_the_sessions_of_the_old_one
                a_touch_moves_the_silence_limit_of_live_keys_only
                a_key_rolls_to_its_successor
                a_key_ends_once
                management_keys_and_payment_keys_are_one_space
                lists_show_the_keys_that_stand
            }
            audit {
                every_decision_is_told_in_its_order
                what_decides_nothing_is_not_told
                a_verb_that_fails_leaves_no_row
            }
            groups {
                verbs_of_a_group_see_each_other_and_fail_alone
                increments_of_one_row_are_all_counted
                an_empty_group_is_nothing
                a_group_is_seen_whole_or_not_at_all
            }
            isolation {
                a_foreign_shop_sees_nothing
                a_foreign_shop_changes_nothing
                shops_have_their_own_keys_orders_and_envelopes
            }
            leases {
                a_lease_is_taken_when_it_has_run_out
                a_sole_owner_hastens_what_the_dead_hold
                each_institution_has_a_line_of_its_own
                two_owners_never_hold_one_operation
                recorded_work_comes_back_when_it_is_due
                hastened_work_is_due_at_once_and_held_work_is_not
                as_many_are_taken_as_were_asked_for
            }
            manage {
                institutions_are_entered_once
                shops_and_poses_are_entered_once
                contracts_need_their_pos_and_institution
                switches_switch
                a_seal_key_version_only_rises
                a_check_is_asked_once
                pruning_takes_what_has_served_its_time
            }
            money {
                a_new_payment_is_written_down_whole
                a_key_answers_with_what_stands_under_it
                a_lost_answer_finds_its_own_row
                a_signer_that_ended_begins_nothing
                switched_off_contracts_begin_nothing_new
                an_envelope_pays_once
                an_order_has_one_payment_at_a_time
                an_order_is_freed_and_claimed_again
                a_payment_that_moved_is_looked_at_again
                an_outcome_is_recorded_once
                evidence_is_added_and_never_lost
                every_state_is_kept
                a_late_success_never_claims_the_order_again
                what_follows_from_a_step_is_written_with_it
                a_void_that_waits_is_nobodys_work
                a_refusal_uses_the_key_up
                tasks_are_kept_with_the_outcome
                an_open_task_is_not_written_twice
                a_task_is_closed_once_with_a_note
            }
            notices {
                a_shop_is_told_by_the_channels_that_it_has
                a_notice_falls_with_its_outcome
                a_notice_is_leased_tried_again_and_told_once
                a_sole_owner_hastens_the_notices_that_the_dead_had_taken
                a_notice_that_is_given_up_stays_for_thirty_days
                a_webhook_that_has_gone_is_switched_off_until_it_is_set
                a_new_webhook_key_stands_beside_the_one_before
                an_address_that_is_left_is_told_so
            }
            reads {
                history_is_paged_by_key
                history_of_one_pos
                nothing_is_found_in_an_empty_database
                open_operations_are_counted
            }
            settlement {
                an_institutions_operations_are_paged_by_their_ids
                marks_count_once_their_run_came_to_the_end
                a_later_operation_knows_whether_the_first_was_settled
                a_task_about_an_institution_is_opened_and_closed_once
                a_restore_holds_the_institutions_until_their_tasks_are_closed
            }
        }
    };
    ($open:path => $($module:ident { $($case:ident)* })*) => {
        $($(
            #[test]
            fn $case() {
                use $crate::store::conformance::{bed::Bed, $module};
                $module::$case(&mut Bed::new($open()));
            }
        )*)*
    };
}
pub(super) use conformance_suite;
