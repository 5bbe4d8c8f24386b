//! Files that somebody else named or can change: read only where they are regular files of a sane size, and reached by
//! descriptors, so that nothing on the way can be another thing when it is used than it was when it was looked at.
//!
//! nginx reads its configuration as root. A directory that belongs to the workers is none of root's: whoever took a worker over
//! could put links into it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Uid, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// What a file that an operator names can hold at most, in bytes: all certificates of a system are a quarter of it.
pub const FILE_MAX: u64 = 1 << 20;
/// To stand on it and not to read it.
const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READ_DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Links on the way to a directory, as the system has it.
const LINKS_MAX: usize = 40;

/// The content of a regular file, which can be reached by links.
///
/// # Errors
/// It cannot be opened, is something else, or is larger than `max` bytes.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_at(CWD, path, OFlags::empty(), max)
}

/// The content of a regular file in this directory; a link is none.
///
/// # Errors
/// As above.
pub fn read_in(directory: &Directory, name: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_at(directory.0.as_fd(), name, OFlags::NOFOLLOW, max)
}

fn read_at(directory: impl AsFd, path: &Path, flags: OFlags, max: u64) -> io::Result<Vec<u8>> {
    // Not to wait for the other end of a pipe. A link that is not to be followed is told as what it is.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | flags;
    let opened = openat(&directory, path, flags, Mode::empty());
    let file = File::from(opened.map_err(|error| match error {
        // A socket, or a device without a driver.
        Errno::LOOP | Errno::NXIO | Errno::NODEV => not_regular(),
        error => error.into(),
    })?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(not_regular());
    }
    let too_large = || io::Error::other(format!("it is larger than {} KiB", max / 1024));
    if found.len() > max {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(found.len() as usize + 1).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    // Some file systems do not know the size, and a file can grow meanwhile.
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_large()) } else { Ok(bytes) }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file")
}

/// A directory, whatever becomes of its name.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// The directory of this absolute path. To root, links on the way count only where they are root's own: others can be
    /// changed by those whose rights are less.
    ///
    /// # Errors
    /// There is none, or a link of somebody else is in the way.
    pub fn open(path: &Path) -> io::Result<Directory> {
        Directory::open_as(path, geteuid().is_root())
    }

    fn open_as(path: &Path, is_root: bool) -> io::Result<Directory> {
        let root = || openat(CWD, "/", PLACE, Mode::empty());
        let (mut at, mut links) = (root()?, 0);
        // What is left of the way, the next step last.
        let mut ahead: Vec<OsString> = steps(path);
        while let Some(step) = ahead.pop() {
            if step == "/" {
                at = root()?;
                continue;
            }
            let next = openat(&at, &*step, PLACE, Mode::empty())?;
            let found = fstat(&next)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => at = next,
                FileType::Symlink if links < LINKS_MAX && (!is_root || found.st_uid == 0) => {
                    links += 1;
                    // Of the link that was looked at.
                    let target = readlinkat(&next, "", Vec::new())?;
                    ahead.extend(steps(&PathBuf::from(OsString::from_vec(target.into_bytes()))));
                }
                FileType::Symlink => {
                    let text = format!("\"{}\" in it is a link of another user", Path::new(&step).display());
                    return Err(io::Error::other(text));
                }
                _ => return Err(ErrorKind::NotADirectory.into()),
            }
        }
        Ok(Directory(at))
    }

    /// Makes a directory in this one that its owner alone can use: this user, or another one. Nothing happens where there is one
    /// of this name.
    ///
    /// # Errors
    /// It cannot be made, or was exchanged meanwhile.
    pub fn make_for(&self, name: &Path, owner: Option<Owner>) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.0, name, Mode::RWXU) {
            Err(Errno::EXIST) => return Ok(()),
            made => made?,
        }
        let Some(Owner { uid, gid }) = owner else { return Ok(()) };
        let made = openat(&self.0, name, READ_DIRECTORY, Mode::empty())?;
        // Whoever can write to the directory above could have put another one of root's in its place.
        let found = fstat(&made)?;
        let is_own = found.st_uid == geteuid().as_raw() && found.st_mode & 0o7777 == Mode::RWXU.bits();
        if !is_own || !is_empty(&made)? {
            return Err(io::Error::other("it was exchanged while it was made"));
        }
        Ok(rustix::fs::fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
    }

    /// Begins a file that this user alone can use.
    ///
    /// # Errors
    /// There is one of this name.
    pub fn create(&self, name: &Path) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Gives a file another name, of which there may be one.
    ///
    /// # Errors
    /// The cause.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// The cause.
    pub fn remove(&self, name: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// When a file, or a link, was changed last, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// The cause.
    pub fn changed_s(&self, name: &Path) -> io::Result<i64> {
        Ok(statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mtime)
    }

    /// Brings its names to disk.
    ///
    /// # Errors
    /// Some file systems cannot do that.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(openat(&self.0, ".", READ_DIRECTORY, Mode::empty())?)?)
    }
}

/// A user whose directory is made for it.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

fn is_empty(directory: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(directory)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The steps of a way, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().rev().filter(|step| *step != Component::CurDir);
    steps.map(|step| step.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::thread;

    use super::*;

    /// A directory that is removed at the end, by the way without links.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("alert-file-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory");
            Scratch(path.canonicalize().expect("it is there"))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_regular_files_of_a_sane_size_are_read_and_nothing_waits() {
        let scratch = Scratch::new("kinds");
        let at = |name: &str| scratch.0.join(name);
        fs::write(at("good"), "text").expect("written");
        symlink(at("good"), at("link")).expect("a link");
        assert_eq!(read(&at("link"), 4).expect("a file behind a link"), b"text");
        File::create(at("sparse")).and_then(|file| file.set_len(4 << 30)).expect("a sparse file");
        let _listener = UnixListener::bind(at("socket")).expect("a socket");
        rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
        for (path, cause) in [
            (at("sparse"), "it is larger than 1024 KiB"),
            (at("fifo"), "it is not a regular file"),
            (at("socket"), "it is not a regular file"),
            (scratch.0.clone(), "it is not a regular file"),
            ("/dev/zero".into(), "it is not a regular file"),
            ("/dev/tty".into(), "it is not a regular file"),
            (at("none"), "No such file or directory (os error 2)"),
        ] {
            assert_eq!(read(&path, FILE_MAX).expect_err("an error").to_string(), cause, "{}", path.display());
        }
        // Files whose size nobody knows.
        assert!(read(Path::new("/proc/self/status"), FILE_MAX).is_ok_and(|text| !text.is_empty()));
        assert!(read(Path::new("/proc/self/status"), 16).is_err());
    }

    #[test]
    fn a_link_is_no_file_of_a_directory() {
        let scratch = Scratch::new("links");
        fs::write(scratch.0.join("good"), "text").expect("written");
        symlink("good", scratch.0.join("link")).expect("a link");
        let directory = Directory::open(&scratch.0).expect("a directory");
        assert_eq!(read_in(&directory, Path::new("good"), FILE_MAX).expect("a file"), b"text");
        let error = read_in(&directory, Path::new("link"), FILE_MAX).expect_err("a link");
        assert_eq!(error.to_string(), "it is not a regular file");
    }

    #[test]
    fn links_on_the_way_are_followed_where_they_are_roots_own() {
        let scratch = Scratch::new("way");
        fs::create_dir_all(scratch.0.join("a/b")).expect("directories");
        symlink("a/../a", scratch.0.join("relative")).expect("a link");
        symlink(scratch.0.join("a"), scratch.0.join("absolute")).expect("a link");
        symlink("round", scratch.0.join("round")).expect("a link");
        for name in ["relative/b", "absolute/b", "a/./b/../b"] {
            let directory = Directory::open_as(&scratch.0.join(name), false).expect("a directory");
            let (found, real) = (fstat(&directory.0).expect("it is open"), fs::metadata(scratch.0.join("a/b")));
            assert_eq!(found.st_ino, real.expect("it is there").ino(), "{name}");
        }
        assert!(Directory::open_as(&scratch.0.join("round"), false).is_err());
        assert!(Directory::open(Path::new("/etc/passwd")).is_err());
        if geteuid().is_root() {
            Directory::open(&scratch.0.join("absolute/b")).expect("the link is root's");
            std::os::unix::fs::lchown(scratch.0.join("absolute"), Some(12_345), None).expect("given away");
            let error = Directory::open(&scratch.0.join("absolute/b")).expect_err("a link of another");
            assert_eq!(error.to_string(), "\"absolute\" in it is a link of another user");
        }
    }

    /// What somebody can try who owns the directory above: exchange the new directory for a link, or for another one of
    /// root's, as soon as it is there.
    #[test]
    fn what_takes_the_place_of_a_new_directory_keeps_its_owner() {
        if !geteuid().is_root() {
            return;
        }
        let scratch = Scratch::new("race");
        let (name, prize, rich) = (scratch.0.join("new"), scratch.0.join("prize"), scratch.0.join("rich"));
        fs::create_dir(&prize).expect("a directory");
        fs::create_dir(&rich).expect("a directory");
        fs::write(rich.join("file"), "").expect("a file");
        let (above, stop) = (Directory::open(&scratch.0).expect("a directory"), AtomicBool::new(false));
        let owner = |path: &Path| fs::symlink_metadata(path).map(|found| found.uid()).unwrap_or_default();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    if fs::rename(&name, scratch.0.join("aside")).is_ok() {
                        let _ = symlink(&prize, &name);
                        let _ = fs::remove_file(&name);
                        let _ = fs::rename(&rich, &name);
                        let _ = fs::rename(&name, &rich);
                        let _ = fs::remove_dir(scratch.0.join("aside"));
                    }
                }
            });
            for _ in 0..1000 {
                let _ = above.make_for(Path::new("new"), Some(Owner { uid: 12_345, gid: 12_345 }));
                let _ = fs::remove_dir(&name);
            }
            stop.store(true, Relaxed);
        });
        assert_eq!((owner(&prize), owner(&rich)), (0, 0));
    }
}
