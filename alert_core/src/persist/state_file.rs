//! The file in which a board outlives a restart of nginx.
//!
//! It is replaced as a whole: written beside, flushed to disk, renamed. That takes a directory in which the workers may
//! make files, since they run as another user than the master. So the master makes it for them where it is missing, as
//! nginx does for its temporary files, and says so where it is there and cannot be used.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::cause::reason;
use crate::base::clock::rfc3339;
use crate::base::file::{self, Directory, Owner};
use crate::base::log::{Level, Line};
use crate::base::memory::has_room;
use crate::board::snapshot::Restored;
use crate::board::{Board, Reservation};
use crate::settings::Settings;

/// A file that was begun and not renamed for this long was left by a writer that was killed.
const ABANDONED: Duration = Duration::from_secs(10);
/// Between two looks whether another writer is done.
const LOOK: Duration = Duration::from_millis(10);
/// What may be larger than the board that takes it: it can be of a zone that was larger by far.
const TIMES_MAX: u64 = 8;
/// What a small board takes, in bytes.
const SIZE_MAX: u64 = 64 << 20;

/// Where the state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file with this absolute path.
    pub fn new(path: PathBuf) -> StateFile {
        StateFile { path }
    }

    /// The directory that the workers must be able to write to.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Makes the directory where it is missing, for this user. With `look_only` nothing is changed: the result says
    /// whether it would work.
    ///
    /// # Errors
    /// The cause, naming the path it is about.
    pub fn prepare(&self, owner: Option<Owner>, look_only: bool) -> Result<(), String> {
        let directory = self.directory();
        let cause = |path: &Path, error: io::Error| format!("\"{}\": {}", path.display(), reason(&error));
        if self.path.is_dir() {
            return Err(format!("\"{}\" is a directory, name a file in it", self.path.display()));
        }
        match fs::metadata(directory) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => return Err(format!("\"{}\" is not a directory", directory.display())),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cause(directory, error)),
            Err(_) => {}
        }
        let above = directory.parent().unwrap_or(Path::new("/"));
        if !above.is_dir() {
            return Err(format!("there is no directory \"{}\"", above.display()));
        }
        if look_only {
            return Ok(());
        }
        let name = Path::new(directory.file_name().unwrap_or_default());
        let made = Directory::open(above).and_then(|above| above.make_for(name, owner));
        made.map_err(|error| cause(directory, error))
    }

    /// Puts what the file holds on a new board whose configuration is reserved and not yet in force. A file that cannot
    /// be used is set aside. Returns what to say about it.
    pub fn load(
        &self,
        board: &Board,
        reservation: &Reservation,
        settings: &Settings,
        now_wall_ms: u64,
    ) -> Option<Line> {
        let path = self.path.display();
        let warning = |text: String| Some(Line::new(Level::Warn, &text));
        let max = (TIMES_MAX * board.bytes() as u64).max(SIZE_MAX);
        let opened = Directory::open(self.directory());
        let read = opened.and_then(|directory| Ok((file::read_in(&directory, self.name(), max)?, directory)));
        // It is taken apart into as much again, twice.
        let has_room = |(bytes, directory): (Vec<u8>, Directory)| match has_room(3 * bytes.len()) {
            true => Ok((bytes, directory)),
            false => Err(ErrorKind::OutOfMemory.into()),
        };
        let (bytes, directory) = match read.and_then(has_room) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return warning(format!("cannot read the state \"{path}\": {}", reason(&error))),
        };
        match board.restore(reservation, settings, &bytes, now_wall_ms) {
            Ok(Restored { taken_wall_ms, left_out }) => {
                let text = format!("the state of {} is loaded from \"{path}\"", rfc3339(taken_wall_ms));
                match left_out {
                    0 => Some(Line::new(Level::Notice, &text)),
                    left_out => warning(format!("{text}, without {left_out} figures in it that cannot be")),
                }
            }
            Err(unusable) => {
                let aside = self.beside(".unusable");
                let fate = match directory.rename(self.name(), &aside) {
                    Ok(()) => format!("it is set aside as \"{}\"", self.directory().join(&aside).display()),
                    Err(error) => format!("it cannot be set aside: {}", reason(&error)),
                };
                warning(format!("the state \"{path}\" is not loaded, {unusable}; {fate}"))
            }
        }
    }

    /// Replaces the file. While another writer does, waits for it, at most for `patience`; what to write is asked for
    /// only then. `false` where the other one is not done in time.
    ///
    /// # Errors
    /// The file is as it was.
    pub fn save(&self, patience: Duration, bytes: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<bool> {
        let draft = self.beside(".tmp");
        let directory = Directory::open(self.directory())?;
        let Some(mut file) = begin(&directory, &draft, Instant::now() + patience)? else { return Ok(false) };
        let written = bytes().and_then(|bytes| file.write_all(&bytes)).and_then(|()| file.sync_all());
        let replaced = written.and_then(|()| directory.rename(&draft, self.name()));
        if replaced.is_err() {
            // The error that is told is the one before.
            let _ = directory.remove(&draft);
        }
        replaced?;
        // The name outlives a power cut only once the directory is on disk. Some file systems cannot do that.
        let _ = directory.sync();
        Ok(true)
    }

    /// Its name in its directory.
    fn name(&self) -> &Path {
        Path::new(self.path.file_name().unwrap_or_default())
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(self.name());
        name.push(ending);
        name.into()
    }
}

/// Begins a file that nobody else is writing; `None` where somebody is until the deadline.
fn begin(directory: &Directory, draft: &Path, deadline: Instant) -> io::Result<Option<File>> {
    loop {
        match directory.create(draft) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if is_abandoned(directory, draft) {
                    directory.remove(draft)?;
                } else if Instant::now() >= deadline {
                    return Ok(None);
                } else {
                    // Not by a call that a container may refuse.
                    thread::park_timeout(LOOK);
                }
            }
            begun => return begun.map(Some),
        }
    }
}

fn is_abandoned(directory: &Directory, draft: &Path) -> bool {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // A file that has vanished is no longer in the way; one of the future is not being written now.
    directory.changed_s(draft).is_ok_and(|changed_s| {
        let changed_s = changed_s.max(0) as u64;
        now_s.checked_sub(changed_s).is_none_or(|age_s| age_s >= ABANDONED.as_secs())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;

    /// A directory of its own that is removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("alert-state-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory");
            Directory(path)
        }

        fn file(&self, name: &str) -> StateFile {
            StateFile::new(self.0.join(name))
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).expect("a directory");
            let mut names: Vec<String> =
                entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn load(file: &StateFile) -> Option<Line> {
        let settings = settings(&[]);
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let reservation = board.reserve(&settings, 0).expect("room");
        file.load(&board, &reservation, &settings, 1)
    }

    #[test]
    fn what_is_saved_is_loaded_and_belongs_to_its_owner_alone() {
        let directory = Directory::new("saved");
        let file = directory.file("state");
        assert_eq!(load(&file), None, "no file is no news");
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        for _ in 0..3 {
            assert!(file.save(Duration::ZERO, || Ok(board.snapshot(0, 0).bytes)).expect("saved"));
        }
        assert_eq!(directory.names(), ["state"]);
        let mode = fs::metadata(directory.0.join("state")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let line = load(&file).expect("a line");
        assert_eq!(line.level, Level::Notice);
        assert!(line.text().starts_with("the state of 1970-01-01T00:00:00.000Z is loaded from"), "{}", line.text());
    }

    #[test]
    fn what_is_no_state_is_set_aside_with_one_line() {
        let directory = Directory::new("foreign");
        let file = directory.file("state");
        fs::write(directory.0.join("state"), "root:x:0:0").expect("written");
        let line = load(&file).expect("a line");
        assert_eq!(line.level, Level::Warn);
        assert!(line.text().contains("it is no state of this module; it is set aside as"), "{}", line.text());
        assert_eq!(directory.names(), ["state.unusable"]);
        assert_eq!(load(&file), None);
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let directory = Directory::new("link");
        std::os::unix::fs::symlink("/dev/zero", directory.0.join("state")).expect("a link");
        let line = load(&directory.file("state")).expect("a line");
        assert!(line.text().contains("not a regular file"), "{}", line.text());
        assert_eq!(directory.names(), ["state"]);
    }

    #[test]
    fn writers_take_turns_and_one_that_was_killed_is_in_nobodys_way() {
        let directory = Directory::new("turns");
        let file = directory.file("state");
        let draft = directory.0.join("state.tmp");
        fs::write(&draft, "").expect("written");
        let saved = file.save(Duration::from_millis(30), || unreachable!("the first is at it"));
        assert!(!saved.expect("no error"));
        let old = SystemTime::now() - ABANDONED;
        File::options().write(true).open(&draft).and_then(|draft| draft.set_modified(old)).expect("aged");
        assert!(file.save(Duration::ZERO, || Ok(b"third".into())).expect("saved"));
        assert_eq!(directory.names(), ["state"]);
    }

    #[test]
    fn a_failed_save_leaves_nothing_behind() {
        let directory = Directory::new("failed");
        let file = directory.file("state");
        fs::create_dir(directory.0.join("state")).expect("a directory");
        assert!(file.save(Duration::ZERO, || Ok(b"x".into())).is_err());
        assert_eq!(directory.names(), ["state"]);
    }

    #[test]
    fn the_directory_is_made_once_it_is_needed() {
        let directory = Directory::new("made");
        let file = directory.file("own/state");
        file.prepare(None, true).expect("it would work");
        assert!(directory.names().is_empty(), "nothing is changed by looking");
        file.prepare(None, false).expect("made");
        let made = fs::metadata(file.directory()).expect("a directory");
        assert_eq!((made.mode() & 0o777, made.is_dir()), (0o700, true));
        file.prepare(None, false).expect("it is there");
        for (path, cause) in [("own", "is a directory, name a file in it"), ("a/b/state", "there is no directory")] {
            let error = directory.file(path).prepare(None, true).expect_err("wrong");
            assert!(error.contains(cause), "{error}");
        }
    }
}
