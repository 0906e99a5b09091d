//! The suite that every backend must pass: the contract of [`backend`](crate::backend), sentence by sentence.
//!
//! It is public because whoever writes a backend of their own has the same duty. A backend takes part with a
//! [`Fixture`], which says how to make a store and open it again, and one line in an integration test:
//!
//! ```ignore
//! pinako::conformance_tests!(lmdb, UrlFixture::new("lmdb:"));
//! ```
//!
//! which becomes a module `lmdb` with one `#[test]` for each case. The cases stand in one list, below; one that is
//! missing from it is dead code, which the compiler reports.

mod append;
mod describe;
mod read;
mod remove;
mod samples;
mod sharing;
mod sizes;
mod upkeep;

pub use samples::{assert_holds, pattern, pattern_reader};

use crate::backend::Backend;

/// How the suite makes a store and opens it again. Its methods panic where they fail, as tests do.
///
/// One fixture stands for one place: every case gets a fixture of its own and calls [`create`](Self::create) once,
/// first.
pub trait Fixture: Sync {
    /// Makes the store, which is empty, and opens it for writing.
    fn create(&self) -> Box<dyn Backend>;

    /// Opens the store for writing, whether or not other handles are open.
    fn open(&self) -> Box<dyn Backend>;

    /// Opens the store for writing by a handle that waits for other writers for a small part of a second only, where
    /// the backend has such a thing.
    fn open_impatient(&self) -> Box<dyn Backend>;

    /// Opens the store for reading only, whether or not other handles are open; `None` where the backend has no such
    /// thing.
    fn open_read_only(&self) -> Option<Box<dyn Backend>>;
}

// `$d` is a dollar sign for the inner macro: there is no other way yet to write one there.
macro_rules! cases {
    ($d:tt $($module:ident { $($case:ident)* })*) => {
        $(pub use $module::{$($case),*};)*

        /// Expands into a module of this name with one `#[test]` for each case of the
        /// [`conformance`](crate::conformance) suite; the expression makes the [`Fixture`](crate::conformance::Fixture)
        /// of each. With `optional` before it, it makes an `Option` of one, and where there is none a case is skipped.
        #[macro_export]
        macro_rules! conformance_tests {
            ($d name:ident, optional $d fixture:expr) => {
                mod $d name {
                    use super::*;
                    $($(
                        #[test]
                        fn $case() {
                            if let Some(fixture) = $d fixture {
                                $d crate::conformance::$case(&fixture);
                            }
                        }
                    )*)*
                }
            };
            ($d name:ident, $d fixture:expr) => {
                $d crate::conformance_tests!($d name, optional Some($d fixture));
            };
        }
    };
}

cases! {$
    append {
        a_new_store_is_empty
        ids_ascend_from_zero_without_gaps
        ids_go_on_after_opening_again
        an_empty_batch_changes_nothing
        a_name_in_the_store_undoes_the_whole_batch
        a_name_twice_in_a_batch_undoes_it
        a_wrong_payload_length_undoes_the_whole_batch
        a_reader_that_fails_undoes_the_whole_batch
        a_stream_gets_its_checksum
        many_images_in_one_batch
        many_small_batches
    }
    sizes {
        payloads_of_every_size
        payloads_of_the_same_shape
        payloads_beside_long_attributes
        payloads_that_do_not_match_their_shape
        a_payload_larger_than_a_piece_is_streamed_and_read_anywhere
    }
    read {
        a_fetch_gives_descriptors_with_whole_payloads
        a_read_gives_exactly_the_range
        a_range_beyond_the_payload_is_invalid
        a_missing_image_is_pushed_as_none
        an_image_may_be_asked_for_many_times_in_a_batch
        large_batches_push_every_request_once
        an_empty_read_pushes_nothing
        errors_of_sinks_come_back_as_they_are
    }
    describe {
        every_field_of_a_descriptor_survives
        names_of_every_kind_survive
        describe_keeps_places_and_pushes_none_for_missing_ids
        a_scan_starts_anywhere_and_breaks_off
        find_is_exact
        label_names_of_every_kind_survive_and_change_only_from_what_is_expected
        label_names_of_an_empty_store_survive_opening_again
        hints_are_sound
    }
    remove {
        removed_images_are_gone
        removing_what_is_not_there_is_no_error
        a_removed_name_is_free_again
        ids_are_never_reused
        everything_may_be_removed
        removal_survives_opening_again
    }
    sharing {
        handles_see_each_others_changes
        a_reading_handle_sees_changes
        a_reading_handle_changes_nothing
        threads_read_while_one_appends
        threads_read_while_one_removes
        threads_read_while_one_compacts
        writers_at_once_lose_no_id
        one_of_two_writers_gets_the_name
        a_writer_waits_for_a_slow_one
        a_writer_gives_up_in_the_end
        threads_share_a_handle
    }
    upkeep {
        the_footprint_counts_payload_bytes
        compaction_keeps_ids_names_and_contents
        compaction_gives_back_space
        sync_changes_nothing
    }
}
