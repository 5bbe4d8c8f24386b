//! A state file that was cut, changed, or made up by somebody who can compute its checksum.

use alert_core::board::Board;
use arbitrary::{Result, Unstructured};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::rig::{self, Rig, T0};

/// Bytes of magic and layout: without them a file is refused at once.
const HEAD: usize = 16;

/// Changes a snapshot and loads it onto a new board.
pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let original = Rig::busy().board.snapshot(T0 + 20_000, T0 + 20_000).bytes;
    let mut changed = original.clone();
    let sealed = input.arbitrary::<u8>().unwrap_or(0) % 8 != 0;
    while !input.is_empty() && damage(&mut changed, &mut input).is_ok() {}
    if sealed {
        changed.truncate(changed.len().saturating_sub(SHA256_OUTPUT_LEN));
        let seal = digest(&SHA256, &changed);
        changed.extend_from_slice(seal.as_ref());
    }
    let (region, settings, now_ms) = (rig::region(), rig::settings(20), T0 + 60_000);
    let board = Board::open(region, now_ms).expect("a board");
    let reservation = board.reserve(&settings, now_ms).expect("room");
    let loaded = board.restore(&reservation, &settings, &changed, now_ms);
    if !sealed {
        assert_eq!(loaded.is_ok(), changed == original, "a checksum that does not fit");
    }
    let plan = board.activate(reservation, &settings);
    let mut rig = Rig { region, board, plan, settings };
    rig.look(now_ms);
    rig.work(now_ms, 100);
    rig.deliver(now_ms);
    rig.reload(30, now_ms);
    rig.look(now_ms + 60_000);
}

fn damage(bytes: &mut Vec<u8>, input: &mut Unstructured<'_>) -> Result<()> {
    let at = input.int_in_range(HEAD..=bytes.len().max(HEAD + 1) - 1)?.min(bytes.len());
    match input.arbitrary::<u8>()? {
        0..=120 => {
            let word = input.arbitrary::<u64>()?.to_le_bytes();
            // On a whole word, so that it becomes one of the board.
            let at = at / 8 * 8;
            bytes.iter_mut().skip(at).zip(word).for_each(|(byte, new)| *byte = new);
        }
        121..=180 => {
            let (value, length) = (*input.choose(&[0, 1, 0x7f, 0x80, 0xff])?, input.int_in_range(1..=20_000)?);
            bytes.iter_mut().skip(at).take(length).for_each(|byte| *byte = value);
        }
        181..=220 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1),
        221..=235 => bytes.truncate(at),
        236..=245 => drop(bytes.splice(at..at, [0; 8])),
        _ => drop(bytes.drain(at..bytes.len().min(at + 8))),
    }
    Ok(())
}
