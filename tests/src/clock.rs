//! A wall clock that can be stepped while nginx runs: a library between nginx and the system adds to it what a file says.
//! The monotonic clock goes on as it is, as with a step of NTP.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::preload;
use tempfile::TempDir;

/// What finds the file in nginx's environment.
const VARIABLE: &str = "CLOCK_OFFSET";

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const long none;
static volatile const long *offset = &none;

__attribute__((constructor)) static void find(void)
{
    const char *name = getenv("CLOCK_OFFSET");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) abort();
    offset = page;
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"#;

/// The clock of every nginx that is started with its environment.
pub struct Clock {
    directory: TempDir,
    offset: File,
}

impl Default for Clock {
    /// A clock that is right.
    fn default() -> Clock {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path().join("offset");
        fs::write(&path, 0i64.to_ne_bytes()).expect("the directory is writable");
        preload::library(directory.path(), "clock", LIBRARY);
        let offset = File::options().write(true).open(&path).expect("it was just written");
        Clock { directory, offset }
    }
}

impl Clock {
    /// The environment of an nginx under this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        vec![("LD_PRELOAD".into(), path("clock.so")), (VARIABLE.into(), path("offset"))]
    }

    /// The directives that hand the environment on to the binary of an upgrade.
    pub fn directives() -> String {
        format!("env LD_PRELOAD; env {VARIABLE};\n")
    }

    /// Sets it so many seconds before or behind the true time.
    pub fn set(&self, seconds: i64) {
        self.offset.write_all_at(&seconds.to_ne_bytes(), 0).expect("the directory is writable");
    }
}
