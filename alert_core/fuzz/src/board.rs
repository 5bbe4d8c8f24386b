//! A board on which a writer was killed, or into which a stray one wrote.
//!
//! The first byte says whether the memory is a board at all. What follows are changes of words.

use std::sync::atomic::Ordering::Relaxed;

use alert_core::board::{Board, Error};
use arbitrary::{Result, Unstructured};

use crate::rig::{self, Rig, T0};

/// Words of a board that say that it is one.
const HEAD: usize = 2;

/// Opens, reads, counts, delivers, reloads.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let mut input = Unstructured::new(bytes);
    if kind % 8 == 0 {
        return foreign(bytes);
    }
    let mut rig = Rig::busy();
    while !input.is_empty() && damage(&rig, &mut input).is_ok() {}
    rig.board = match Board::open(rig.region, T0) {
        // Its table of extents says what cannot be: a reload begins it anew, while workers still have the one before.
        Err(Error::Foreign) => Board::begin_anew(rig.region, T0).expect("there is room"),
        board => board.expect("what says that it is a board is taken for one"),
    };
    let now_ms = T0 + 60_000;
    rig.look(now_ms);
    rig.work(now_ms, 100);
    rig.deliver(now_ms);
    rig.reload(20, now_ms);
    rig.look(now_ms);
    rig.reload(30, now_ms);
    rig.work(now_ms + 30_000, 100);
    rig.look(now_ms + 60_000);
}

/// Memory that is no board is refused, and stays as it is.
fn foreign(bytes: &[u8]) {
    let region = rig::region();
    let words = region.slice(0, region.words()).expect("all of it");
    for (word, chunk) in words.iter().zip(bytes.chunks_exact(8)) {
        word.store(chunk.try_into().map_or(0, u64::from_le_bytes), Relaxed);
    }
    let before: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
    if before.iter().any(|word| *word != 0) {
        assert_eq!(Board::open(region, T0).err(), Some(Error::Foreign));
        assert!(words.iter().zip(&before).all(|(word, before)| word.load(Relaxed) == *before));
    }
}

fn damage(rig: &Rig, input: &mut Unstructured<'_>) -> Result<()> {
    let words = rig.region.slice(0, rig.region.words()).expect("all of it");
    let at = |input: &mut Unstructured<'_>| input.int_in_range(HEAD..=words.len() - 1);
    let place = at(input)?;
    match input.arbitrary::<u8>()? {
        // One word.
        0..=150 => words[place].store(value(input)?, Relaxed),
        151..=170 => drop(words[place].fetch_xor(1 << input.int_in_range(0..=63)?, Relaxed)),
        // An extent, with one value, with noise, or with what stands elsewhere.
        171..=200 => {
            let value = value(input)?;
            words[place..].iter().take(input.int_in_range(1..=2000)?).for_each(|word| word.store(value, Relaxed));
        }
        201..=225 => {
            let mut noise = input.arbitrary::<u64>()?;
            for word in words[place..].iter().take(input.int_in_range(1..=20_000)?) {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                word.store(noise ^ noise >> 29, Relaxed);
            }
        }
        _ => {
            let (from, length) = (at(input)?, input.int_in_range(1..=2000)?);
            let copy: Vec<u64> = words[from..].iter().take(length).map(|word| word.load(Relaxed)).collect();
            words[place..].iter().zip(copy).for_each(|(word, value)| word.store(value, Relaxed));
        }
    }
    Ok(())
}

/// A word: an edge, a time, an extent of the board, or anything.
fn value(input: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match input.arbitrary::<u8>()? % 8 {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << input.int_in_range(0..=63)?,
        3 => T0 + input.int_in_range(0..=100_000_000)?,
        4 => input.int_in_range(0..=300)?,
        5 | 6 => (input.int_in_range(0..=70_000_u64)? << 32) | input.int_in_range(0..=70_000_u64)?,
        _ => input.arbitrary()?,
    })
}
