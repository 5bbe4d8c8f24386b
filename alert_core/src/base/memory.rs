//! Whether there is memory, asked before it is needed: an allocation that fails takes the whole process down.

use std::hint::black_box;

/// Whether this many bytes could be allocated now. They are given back at once.
pub fn has_room(bytes: usize) -> bool {
    let mut room = Vec::<u8>::new();
    let is_there = room.try_reserve_exact(bytes).is_ok();
    // Memory that nobody looks at need not be asked for.
    black_box(&mut room);
    is_there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_a_document_and_not_for_everything() {
        assert!(has_room(1 << 20));
        assert!(!has_room(isize::MAX as usize));
    }
}
