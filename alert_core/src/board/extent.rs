//! Room in the board: which extents of it belong to what.
//!
//! Only the master changes this table, one reload after the other, so it needs no lock. An extent is first reserved (the
//! configuration may still be refused), then live, then retired; a retired one is free again when no worker of its time
//! is left, since such a worker may still be counting in it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::cell::Packed;
use super::region::Region;
use crate::base::shared::shared;
use crate::base::word::Word;

/// Stretches that the table can hold.
pub(super) const EXTENTS_MAX: usize = 512;

/// An extent of the region, in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Its first word.
    pub offset: u32,
    /// How many words.
    pub len: u32,
}

impl Extent {
    /// No extent.
    pub const NONE: Extent = Extent { offset: 0, len: 0 };
}

impl Word for Extent {
    fn to_word(self) -> u64 {
        (u64::from(self.offset) << 32) | u64::from(self.len)
    }

    fn from_word(word: u64) -> Extent {
        Extent { offset: (word >> 32) as u32, len: word as u32 }
    }
}

/// What an extent is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A monitor's state.
    Monitor,
    /// A window.
    Window,
    /// A rollout.
    Rollout,
}

impl Use {
    const ALL: [Use; 3] = [Use::Monitor, Use::Window, Use::Rollout];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reserved,
    Live,
    Retired { generation: u64 },
}

shared! {
#[derive(Debug)]
struct Entry {
    place: Packed<Extent>,
    stage: AtomicU64,
}
}

shared! {
/// The table of extents.
#[derive(Debug)]
pub struct ExtentTable {
    entries: [Entry; EXTENTS_MAX],
}
}

impl Entry {
    fn get(&self) -> Option<(Extent, Use, Stage)> {
        let extent = self.place.load();
        let stage = self.stage.load(Relaxed);
        let kind = *Use::ALL.get((stage >> 3 & 3) as usize)?;
        let stage = match stage & 0x7 {
            1 => Stage::Reserved,
            2 => Stage::Live,
            3 => Stage::Retired { generation: stage >> 5 },
            _ => return None,
        };
        (extent.len > 0).then_some((extent, kind, stage))
    }

    fn set(&self, extent: Extent, kind: Use, stage: Stage) {
        let stage = match stage {
            Stage::Reserved => 1,
            Stage::Live => 2,
            Stage::Retired { generation } => 3 | generation << 5,
        };
        self.stage.store(stage | (kind as u64) << 3, Relaxed);
        self.place.store(extent);
    }

    fn free(&self) {
        self.place.store(Extent::default());
        self.stage.store(0, Relaxed);
    }
}

impl ExtentTable {
    /// The live extents of one use.
    pub fn live(&self, wanted: Use) -> impl Iterator<Item = Extent> + '_ {
        self.entries
            .iter()
            .filter_map(Entry::get)
            .filter(move |(_, kind, stage)| *kind == wanted && *stage == Stage::Live)
            .map(|(extent, ..)| extent)
    }

    /// Whether this is an extent of this use, at whatever stage.
    pub fn holds(&self, extent: Extent, wanted: Use) -> bool {
        self.entries.iter().filter_map(Entry::get).any(|(known, kind, _)| known == extent && kind == wanted)
    }

    /// Whether all extents lie within these words, and none in another one.
    pub fn is_within(&self, first: usize, end: usize) -> bool {
        let mut extents: Vec<Extent> = self.entries.iter().filter_map(Entry::get).map(|(extent, ..)| extent).collect();
        extents.sort_unstable_by_key(|extent| extent.offset);
        let mut free = first;
        extents.iter().all(|extent| {
            let begins_free = extent.offset as usize >= free;
            free = extent.offset as usize + extent.len as usize;
            begins_free && free <= end
        })
    }

    /// Whether there is no place for another extent.
    pub fn is_full(&self) -> bool {
        self.entries.iter().all(|entry| entry.get().is_some())
    }

    /// Words of all extents that some configuration has, or had.
    pub fn words_in_use(&self) -> usize {
        let in_use = self.entries.iter().filter_map(Entry::get).filter(|(.., stage)| *stage != Stage::Reserved);
        in_use.map(|(extent, ..)| extent.len as usize).sum()
    }

    /// Frees what a refused configuration had reserved, and what was retired before `oldest_generation`.
    pub fn sweep(&self, oldest_generation: u64) {
        for entry in &self.entries {
            match entry.get() {
                Some((_, _, Stage::Reserved)) => entry.free(),
                Some((_, _, Stage::Retired { generation })) if generation < oldest_generation => entry.free(),
                _ => (),
            }
        }
    }

    /// Reserves and clears `len` words of the region at or behind `first`; `None` where there is no room.
    pub fn reserve(&self, region: &Region, first: usize, len: usize, kind: Use) -> Option<Extent> {
        let entry = self.entries.iter().find(|entry| entry.get().is_none())?;
        let mut taken: Vec<(usize, usize)> = self
            .entries
            .iter()
            .filter_map(Entry::get)
            .map(|(extent, ..)| (extent.offset as usize, extent.len as usize))
            .collect();
        taken.sort_unstable();
        let mut offset = first;
        for (start, taken_len) in taken {
            if start >= offset + len {
                break;
            }
            offset = offset.max(start + taken_len);
        }
        for word in region.slice(offset, len)? {
            word.store(0, Relaxed);
        }
        let extent = Extent { offset: u32::try_from(offset).ok()?, len: u32::try_from(len).ok()? };
        entry.set(extent, kind, Stage::Reserved);
        Some(extent)
    }

    /// Makes exactly these extents live, and retires the live ones that are not among them.
    pub fn commit(&self, wanted: &[Extent], generation: u64) {
        for entry in &self.entries {
            match entry.get() {
                Some((extent, kind, _)) if wanted.contains(&extent) => entry.set(extent, kind, Stage::Live),
                Some((extent, kind, Stage::Live)) => entry.set(extent, kind, Stage::Retired { generation }),
                _ => (),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (Region, &'static ExtentTable, usize) {
        let region = Region::private(64 * 1024);
        let table = region.get::<ExtentTable>(0).expect("room for the table");
        (region, table, size_of::<ExtentTable>() / 8)
    }

    #[test]
    fn extents_never_overlap_and_room_comes_back() {
        let (region, table, first) = table();
        let reserve = |len| table.reserve(&region, first, len, Use::Window);
        let (a, b) = (reserve(100).expect("room"), reserve(200).expect("room"));
        assert_eq!(b.offset, a.offset + 100);
        table.commit(&[a, b], 1);
        assert_eq!(reserve(1 << 20), None);
        table.commit(&[b], 2);
        table.sweep(2);
        assert_ne!(reserve(100).expect("room").offset, a.offset, "a worker of generation 2 may still count there");
        table.sweep(3);
        assert_eq!(reserve(100).expect("room").offset, a.offset);
    }

    #[test]
    fn what_a_refused_configuration_reserved_is_free_again() {
        let (region, table, first) = table();
        let refused = table.reserve(&region, first, 50, Use::Monitor);
        table.sweep(0);
        assert_eq!(table.reserve(&region, first, 50, Use::Monitor), refused);
        assert_eq!(table.live(Use::Monitor).count(), 0);
    }
}
