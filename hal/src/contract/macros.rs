//! The list of all cases.

/// Makes a `#[test]` of each case of an area, for every bench of a backend: a module's name, the area, and an
/// expression that makes the fixture. See [`crate::contract`].
#[macro_export]
macro_rules! contract_tests {
    ($($bench:ident: $area:ident = $maker:expr;)+) => {
        $(
            mod $bench {
                #[allow(unused_imports)] // The expression may use no item of the parent module.
                use super::*;
                $crate::contract_tests!(@list $area, $maker);
            }
        )+
    };
    (@list block, $maker:expr) => {
        $crate::contract_tests!(@each block, $maker, [
            the_device_is_listed
            an_unknown_device_is_not_found
            a_source_reads_what_is_on_the_medium
            reading_at_and_over_the_end_returns_nothing
            a_read_across_the_end_is_short
            reading_a_source_changes_nothing
            a_write_over_the_end_is_refused_and_never_extends
            written_bytes_read_back_before_a_sync
            unaligned_writes_keep_their_neighbours
            a_sync_brings_bytes_to_the_medium
            verification_reads_the_medium_and_not_a_cache
            every_verification_reads_the_medium_anew
            verification_bypasses_the_cache_of_another_opener
            a_verified_read_across_the_end_is_short
            the_last_close_drops_the_cache
            writing_ends_verification_and_it_can_begin_again
            zeroing_makes_zeros_and_nothing_else
            zeroing_over_the_end_is_refused
            a_discard_leaves_the_bytes_beside_its_whole_units
            discarded_bytes_can_be_written_again
            a_discard_over_the_end_is_refused
            a_discard_ends_verification
            a_target_is_exclusive_until_it_is_closed
            dropping_a_target_frees_it
            a_source_is_exclusive_until_it_is_closed
            a_shared_open_is_allowed_beside_any_use
            a_device_in_use_elsewhere_is_busy
            a_read_only_device_is_not_a_target
            an_empty_slot_has_its_own_error
            partitions_of_an_idle_device_can_be_read_again
        ]);
    };
    (@list volume, $maker:expr) => {
        $crate::contract_tests!(@each volume, $maker, [
            create_new_never_replaces
            a_new_name_needs_its_directory
            a_replaced_directory_is_looked_up_anew
            a_list_is_complete_whatever_its_order
            the_root_can_be_listed_and_described
            names_are_bytes
            a_name_of_255_bytes_fits_and_one_more_does_not
            rename_replaces_a_file
            rename_keeps_an_open_file_readable
            rename_over_an_open_file_leaves_it_readable
            rename_refuses_directories_in_the_way
            remove_keeps_an_open_file_readable
            each_remove_is_for_its_kind
            a_case_insensitive_volume_has_one_name
            a_case_sensitive_volume_has_two_names
            content_reads_back_before_a_sync
            reading_at_and_over_the_end_returns_nothing
            announced_files_are_read_as_they_are
            a_read_across_the_end_is_short
            writes_change_only_their_range
            a_reader_cannot_write
            opening_needs_a_regular_file
            set_len_cuts_and_extends_with_zeros
            a_file_longer_than_the_limit_is_refused
            a_gap_reads_as_zeros
            given_back_blocks_read_as_zeros
            holes_are_reported_where_supported
            content_survives_a_sync_and_a_dropped_cache
            a_closed_file_stays_closed
            a_symlink_keeps_its_text
            no_call_follows_a_symlink_at_the_end
            no_call_goes_through_a_symlink
            removing_a_symlink_leaves_its_target
            resolve_returns_the_path_without_links
            resolve_stays_in_the_root
            resolve_distinguishes_loops_from_dangling_links
            hard_links_share_one_file
            a_hard_link_of_a_symlink_is_the_symlink
            without_unix_there_are_no_links
            modes_are_exact
            directories_and_fifos_have_exact_modes
            a_symlink_has_no_mode
            times_are_kept_for_the_entry_itself
            metadata_has_kind_length_and_space
            xattrs_are_sorted_and_binary
            an_attribute_that_is_too_long_is_refused
            an_open_file_has_the_attributes_of_the_file
            owners_are_kept_for_the_entry_itself
            a_new_owner_clears_setuid
            device_nodes_are_made_and_never_opened
            inode_flags_are_kept_for_the_entry_itself
            a_locked_file_refuses_every_change
            free_space_never_grows_while_a_file_does
            a_removed_file_frees_its_space_when_it_is_closed
            a_full_volume_keeps_a_prefix
            a_read_only_volume_refuses_every_change
            a_writer_keeps_a_volume_writable
            open_files_keep_a_volume_mounted
            sync_works_in_every_state
        ]);
    };
    (@list file_systems, $maker:expr) => {
        $crate::contract_tests!(@each file_systems, $maker, [
            a_new_file_system_is_identified
            a_new_file_system_has_the_given_uuid_and_label
            a_new_file_system_has_the_given_shape
            a_shape_without_room_is_refused
            a_new_file_system_is_empty
            a_region_without_a_file_system_is_identified_as_none
            files_survive_an_unmount
            a_mounted_file_system_is_busy
            dropping_a_volume_unmounts_it
            each_volume_has_its_own_id
            a_read_only_mount_changes_nothing
            a_clean_file_system_passes_the_check
            growing_keeps_the_files
            used_ranges_are_in_order_and_inside
            the_extents_of_a_file_hold_its_data_and_no_other
            file_system_calls_on_an_open_target_are_busy
            a_mounted_device_cannot_be_a_target_or_source
            a_dropped_use_frees_the_device
            a_source_excludes_changes_of_its_file_systems
            a_power_cut_while_mounted_needs_recovery
            a_check_recovers_what_was_synced
            a_read_only_mount_after_a_power_cut_changes_nothing
            growing_after_a_check_keeps_the_files
        ]);
    };
    (@list leds, $maker:expr) => {
        $crate::contract_tests!(@each leds, $maker, [
            a_status_is_shown
            a_terminal_status_only_gets_worse
            renewed_leases_keep_it_running
            a_lease_that_runs_out_is_a_failure_for_good
            a_renewal_after_the_lease_has_no_effect
            critical_outranks_a_lost_lease
            a_lease_that_runs_out_at_risk_is_critical
            a_failure_at_risk_is_critical
            a_risk_that_is_over_leaves_a_failure
            a_risk_is_not_shown
            a_terminal_status_needs_no_lease
        ]);
    };
    (@list clock, $maker:expr) => {
        $crate::contract_tests!(@each clock, $maker, [
            time_never_goes_back
            sleep_is_never_early
            the_wall_clock_is_well_formed
        ]);
    };
    (@list tasks, $maker:expr) => {
        $crate::contract_tests!(@each tasks, $maker, [
            all_tasks_run
            results_are_in_the_order_of_the_tasks
            tasks_sleep_in_parallel
            a_panic_is_reported_and_stops_no_other_task
            no_tasks_return_no_results
            computing_has_at_least_one_thread
        ]);
    };
    (@list system, $maker:expr) => {
        $crate::contract_tests!(@each system, $maker, [
            the_board_is_identified
            a_hook_returns_its_status_and_output
            a_hook_works_in_its_tree
            a_hook_gets_its_environment
            a_signal_is_not_a_status
            the_output_of_a_hook_is_bounded
            a_hook_that_hangs_is_killed
            a_missing_hook_is_not_found
            a_file_that_is_not_a_program_cannot_be_started
        ]);
    };
    (@list firmware, $maker:expr) => {
        $crate::contract_tests!(@each firmware, $maker, [
            an_area_is_not_a_medium
            an_area_keeps_what_is_written
            closing_an_area_protects_it
            dropping_an_area_protects_it
            reading_an_area_leaves_it_protected
            an_area_is_exclusive
            only_areas_can_be_opened
            a_register_returns_its_value
            an_updater_returns_status_and_output
            an_updater_that_dies_or_hangs_is_reported
            a_missing_updater_is_not_found
            an_updater_can_read_its_file
        ]);
    };
    (@list records, $maker:expr) => {
        $crate::contract_tests!(@each records, $maker, [
            logs_are_kept_by_operation_and_in_order
            a_report_replaces_the_one_before
            console_lines_stay_in_order
        ]);
    };
    (@each $area:ident, $maker:expr, [$($case:ident)*]) => {
        $(
            #[test]
            fn $case() {
                match ($maker)() {
                    Some(fixture) => $crate::contract::$area::$case(&fixture),
                    None => $crate::contract::skipped(
                        concat!(stringify!($area), "::", stringify!($case)),
                        "this host does not support the fixture",
                    ),
                }
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every public function with a fixture argument, in all files of the suite.
    fn cases(directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(cases(&path));
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            found.extend(source.lines().filter_map(|line| {
                let (name, arguments) = line.strip_prefix("pub fn ")?.split_once('(')?;
                arguments.starts_with("fixture: &dyn ").then(|| name.to_owned())
            }));
        }
        found
    }

    #[test]
    fn the_list_has_every_case() {
        let cases = cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract"));
        for case in &cases {
            let listed = include_str!("macros.rs").lines().any(|line| line.trim() == case);
            assert!(listed, "{case} is not in contract_tests!");
        }
        assert!(cases.len() >= 140, "{} cases found", cases.len());
    }
}
