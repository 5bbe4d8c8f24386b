//! Types that several processes may read and write at once, and the proof that a structure is one.

#![allow(unsafe_code)]

use std::sync::atomic::AtomicU32;

use crate::base::atomic::{AtomicI64, AtomicU64};

/// A type that may be read and written by several processes at once. Structures become such types by `shared!`.
///
/// # Safety
/// The type holds atomics only (or arrays and `repr(C)` structures of such), has no padding, no pointer and no destructor,
/// and every pattern of bits is a valid value.
pub unsafe trait Shared {
    /// Compiles only where the type has no padding, and so do all types that it is made of.
    const NO_PADDING: ();
}

// SAFETY: eight bytes, valid for every pattern of bits.
unsafe impl Shared for AtomicU64 {
    const NO_PADDING: () = ();
}
// SAFETY: as above.
unsafe impl Shared for AtomicI64 {
    const NO_PADDING: () = ();
}
// SAFETY: four bytes, valid for every pattern of bits.
unsafe impl Shared for AtomicU32 {
    const NO_PADDING: () = ();
}
// SAFETY: elements of an array lie side by side.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {
    const NO_PADDING: () = T::NO_PADDING;
}

/// Makes a structure [`Shared`]: it gets the layout of C, and each of its fields has to be shared itself.
macro_rules! shared {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<const $param:ident: usize>)? {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty),* $(,)?
        }
    ) => {
        #[repr(C)]
        $(#[$meta])*
        $vis struct $name $(<const $param: usize>)? {
            $($(#[$field_meta])* $field_vis $field: $type),*
        }

        // SAFETY: `repr(C)`, of fields that are shared themselves and leave no padding, which the constant proves.
        #[allow(unsafe_code)]
        unsafe impl $(<const $param: usize>)? $crate::base::shared::Shared for $name $(<$param>)? {
            const NO_PADDING: () = {
                $(let () = <$type as $crate::base::shared::Shared>::NO_PADDING;)*
                assert!(size_of::<Self>() == 0 $(+ size_of::<$type>())*, "a structure of the board has padding");
            };
        }
    };
}
pub(crate) use shared;
