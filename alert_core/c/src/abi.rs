//! The functions and types of `include/alert_core.h`, under the names they have there.

#![allow(unsafe_code)]
#![allow(non_camel_case_types)]
// The comments become the header's, which says of all pointers what they have to be.
#![allow(clippy::missing_safety_doc)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alert_core::observe::recorder::Attempt;

use crate::attempts;
use crate::engine::{self, Engine, Refusal};
use crate::handle;
use crate::memory::Memory;
use crate::raw::{self, Buffer};
use crate::request::Put;

/// A status that is none: no request ends with it.
const STATUS_MAX: u32 = 999;

/// What a function returns: 0 on success, more where there is nothing to do, less where something is wrong.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum alert_code {
    /// Done.
    ALERT_OK = 0,
    /// There is nothing (more) to fetch.
    ALERT_EMPTY = 1,
    /// No handle, or one that was freed.
    ALERT_EHANDLE = -1,
    /// An argument is NULL, too long, not UTF-8 or out of range.
    ALERT_EARGUMENT = -2,
    /// The settings have a mistake; the text in the buffer says where and which.
    ALERT_ESETTINGS = -3,
    /// The board is too small, not aligned, or holds something else; the text in the buffer says which.
    ALERT_EBOARD = -4,
    /// The settings have no monitor of this name.
    ALERT_EMONITOR = -5,
    /// The buffer is too small; nothing was written or consumed, and *needed says how large it has to be.
    ALERT_EBUFFER = -6,
    /// Another configuration is in force on this board: free the handle and create one with the present settings.
    ALERT_ESTALE = -7,
    /// The handle, or another one of this process on the same board, was started already.
    ALERT_ESTARTED = -8,
    /// The system did not let the library start its threads.
    ALERT_ETHREADS = -9,
    /// It was not done in time.
    ALERT_ETIMEOUT = -10,
    /// The handle was started before this process was forked.
    ALERT_EFORK = -11,
    /// A process can have 64 handles at a time, and has.
    ALERT_EHANDLES = -12,
    /// The settings name sinks, so the library delivers the alerts by itself.
    ALERT_ESINKS = -13,
    /// A defect of the library.
    ALERT_EDEFECT = -14,
}

use alert_code::*;

const TEXTS: [(alert_code, &CStr); 16] = [
    (ALERT_OK, c"done"),
    (ALERT_EMPTY, c"nothing waits"),
    (ALERT_EHANDLE, c"no such handle"),
    (ALERT_EARGUMENT, c"an argument is missing, too long, not UTF-8 or out of range"),
    (ALERT_ESETTINGS, c"the settings have a mistake"),
    (ALERT_EBOARD, c"the memory cannot be used as a board"),
    (ALERT_EMONITOR, c"there is no monitor of this name"),
    (ALERT_EBUFFER, c"the buffer is too small"),
    (ALERT_ESTALE, c"another configuration is in force on this board"),
    (ALERT_ESTARTED, c"started already"),
    (ALERT_ETHREADS, c"a thread cannot be started"),
    (ALERT_ETIMEOUT, c"not done in time"),
    (ALERT_EFORK, c"the handle was started by another process"),
    (ALERT_EHANDLES, c"too many handles"),
    (ALERT_ESINKS, c"the library delivers by itself, there is nothing to poll"),
    (ALERT_EDEFECT, c"a defect of the library"),
];

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no NUL"),
};

/// A detector. The pointer is a name and is never followed, so a wrong one is an error and no crash.
pub struct alert_t {
    _opaque: (),
}

/// One upstream attempt.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct alert_attempt {
    /// Address of the server as nginx writes it: `127.0.0.1:8081`, `[::1]:80`, `unix:/path`; or empty.
    pub address: *const c_char,
    /// Its length in bytes.
    pub address_len: usize,
    /// Name of the server's pool, or empty. Counts only where the settings do not list the address.
    pub pool: *const c_char,
    /// Its length in bytes.
    pub pool_len: usize,
    /// Status of the answer, 0 to 999: 502 or 504 where there was none, 0 where the client went away meanwhile.
    pub status: u32,
    /// How long the attempt took, in milliseconds; 0 where that is unknown.
    pub time_ms: u32,
}

/// One finished request.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct alert_request {
    /// Name of the monitor that watches it.
    pub monitor: *const c_char,
    /// Its length in bytes.
    pub monitor_len: usize,
    /// Its attempts, in order; at least one.
    pub attempts: *const alert_attempt,
    /// How many.
    pub attempts_len: usize,
    /// The release that answered, or empty.
    pub release: *const c_char,
    /// Its length in bytes.
    pub release_len: usize,
    /// When it ended, in milliseconds since the Unix epoch; 0 is now. Without threads this is also the time at which
    /// it is judged, so that a recording can be replayed.
    pub time_ms: u64,
    /// The status that the client got, 0 to 999. With 499 or 0 the client went away: the request was abandoned where its
    /// attempts took a second or more, else it is not counted.
    pub status: u32,
}

/// Version of the library, such as "0.1.0". Never NULL, never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn alert_version() -> *const c_char {
    VERSION.as_ptr()
}

/// What a code means, in a few words. Never NULL, never to be freed; any number may be asked for.
#[unsafe(no_mangle)]
pub extern "C" fn alert_code_text(code: c_int) -> *const c_char {
    let known = TEXTS.iter().find(|(known, _)| *known as c_int == code);
    known.map_or(c"no code of this library", |(_, text)| text).as_ptr()
}

/// Says how large a board for these settings has to be, in bytes. Where the settings will change while the board stays,
/// the old and the new have to fit: take twice as much.
///
/// `settings`: as for alert_create; looks up the names of hosts. `error`: as for alert_create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alert_board_size(
    settings: *const c_char,
    settings_len: usize,
    board_size: *mut usize,
    error: *mut c_char,
    error_size: usize,
) -> alert_code {
    let body = || {
        if board_size.is_null() || !board_size.is_aligned() {
            return Err(argument("\"board_size\" is NULL or not aligned"));
        }
        // SAFETY: the caller's promise.
        let text = unsafe { raw::bytes(settings, settings_len) }.map_err(|_| argument("no settings"))?;
        let settings = engine::read_settings(text)?;
        // SAFETY: checked above, writable by the caller's promise.
        unsafe { board_size.write(alert_core::board::needed_bytes(&settings)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { refusable(error, error_size, body) }
}

/// Makes a detector. Starts no thread and sends nothing; looks up the names of hosts, which may take its time.
///
/// `settings`: `alert_monitor NAME { ... }`, at least one, and `alert_notify SINK TARGET ...;`, in the words and the
/// syntax of the nginx module, at most 1 MiB. What they refer to (environment, files) is read now.
///
/// `board`: memory of `board_size` bytes, aligned to 8, all zero when it is used for the first time, that stays the
/// caller's and stays valid until alert_free has returned ALERT_OK (after ALERT_ETIMEOUT: for good). Several processes
/// may share it; they create one after the other. NULL with size 0 makes a board of the library's own, which processes
/// that are forked later share, and which alert_free gives back.
///
/// `handle`: gets the handle, or NULL on an error.
///
/// `error`: gets what is wrong, as a sentence with line and column, cut to `error_size` bytes with a NUL; unchanged on
/// success. NULL with size 0 where nobody wants to know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alert_create(
    settings: *const c_char,
    settings_len: usize,
    board: *mut c_void,
    board_size: usize,
    handle: *mut *mut alert_t,
    error: *mut c_char,
    error_size: usize,
) -> alert_code {
    let body = || {
        if handle.is_null() || !handle.is_aligned() {
            return Err(argument("\"handle\" is NULL or not aligned"));
        }
        // SAFETY: checked above, writable by the caller's promise.
        unsafe { handle.write(ptr::null_mut()) };
        // SAFETY: the caller's promise.
        let text = unsafe { raw::bytes(settings, settings_len) }.map_err(|_| argument("no settings"))?;
        let memory = match NonNull::new(board) {
            None if board_size > 0 => return Err(argument("\"board\" is NULL with a size")),
            None => None,
            Some(_) if board_size > isize::MAX as usize => return Err(argument("\"board_size\" is out of range")),
            Some(base) => {
                // SAFETY: the caller's promise, which lasts until the handle is freed.
                let memory = unsafe { Memory::borrow(base, board_size) };
                Some(memory.ok_or_else(|| (ALERT_EBOARD, "the board is not aligned to 8 bytes".into()))?)
            }
        };
        let settings = engine::read_settings(text)?;
        let number = handle::insert(|| Engine::create(settings, text, memory))?;
        // SAFETY: checked above, writable by the caller's promise.
        unsafe { handle.write(ptr::without_provenance_mut(number)) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { refusable(error, error_size, body) }
}

/// Starts the threads of this process: one judges, one for each sink delivers. From now on alert_put only queues, and
/// alert_tick has nothing to do. One started handle per process and board.
#[unsafe(no_mangle)]
pub extern "C" fn alert_start(handle: *mut alert_t) -> alert_code {
    with(handle, |engine| engine.start().map(|()| ALERT_OK))
}

/// Takes one finished request. With threads it never waits, and a request for which the queue has no room is counted as
/// dropped; without, it is judged before the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alert_put(handle: *mut alert_t, request: *const alert_request) -> alert_code {
    with(handle, |engine| {
        if request.is_null() || !request.is_aligned() {
            return Err(ALERT_EARGUMENT);
        }
        // SAFETY: not NULL and aligned by the check, initialized by the caller's promise.
        let request = unsafe { &*request };
        // SAFETY: the caller's promise.
        let (monitor, release, attempts) = unsafe {
            (
                raw::bytes(request.monitor, request.monitor_len)?,
                raw::bytes(request.release, request.release_len)?,
                raw::items(request.attempts, request.attempts_len)?,
            )
        };
        if attempts.is_empty() {
            return Err(ALERT_EARGUMENT);
        }
        // All are read before any counts.
        for attempt in attempts {
            // SAFETY: the caller's promise.
            unsafe { read(attempt) }?;
        }
        // SAFETY: as above.
        let attempts = || attempts.iter().filter_map(|attempt| unsafe { read(attempt) }.ok());
        let status = checked_status(request.status)?;
        engine.put(monitor, Put { attempts, status, pool: &[], release, ended_ms: 0 }, given(request.time_ms))?;
        Ok(ALERT_OK)
    })
}

/// Takes one finished request as nginx's variables tell it, for log_by_lua and the like. Each argument is the value of
/// the variable of that name, or NULL where it has none; `pool` and `release` are what the answer said of itself (such
/// as `$upstream_http_x_app_pool`), `status` is `$status`. A request without upstream attempts is not counted; all that it
/// made count, also those before an internal redirect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alert_put_nginx(
    handle: *mut alert_t,
    monitor: *const c_char,
    upstream_addr: *const c_char,
    upstream_status: *const c_char,
    upstream_response_time: *const c_char,
    pool: *const c_char,
    release: *const c_char,
    status: u32,
) -> alert_code {
    with(handle, |engine| {
        // SAFETY: the caller's promise, for all of them.
        let [monitor, addresses, statuses, times, pool, release] = unsafe {
            [
                raw::string(monitor)?,
                raw::string(upstream_addr)?,
                raw::string(upstream_status)?,
                raw::string(upstream_response_time)?,
                raw::string(pool)?,
                raw::string(release)?,
            ]
        };
        let attempts = || attempts::from_nginx(addresses, statuses, times);
        let (status, pool, release) = (checked_status(status)?, pool.as_bytes(), release.as_bytes());
        engine.put(monitor.as_bytes(), Put { attempts, status, pool, release, ended_ms: 0 }, None)?;
        Ok(ALERT_OK)
    })
}

/// Judges what time alone changes: reminders, requests that grow too old, the end of maintenance. To be called about
/// once a second where there are no threads; `time_ms` is the time in milliseconds since the Unix epoch, 0 is now.
#[unsafe(no_mangle)]
pub extern "C" fn alert_tick(handle: *mut alert_t, time_ms: u64) -> alert_code {
    with(handle, |engine| engine.tick(given(time_ms)).map(|()| ALERT_OK))
}

/// Waits until every request put before by this process is judged: at most `limit_ms` milliseconds, then
/// ALERT_ETIMEOUT. Without threads that is always so. It does not wait for deliveries. A failover may be told up to 50
/// milliseconds later, since an answer that another process has yet to judge may speak against it.
#[unsafe(no_mangle)]
pub extern "C" fn alert_flush(handle: *mut alert_t, limit_ms: u32) -> alert_code {
    with(handle, |engine| engine.flush(Duration::from_millis(limit_ms.into())).map(|()| ALERT_OK))
}

/// Writes the status of everything as JSON, the document of `alert_status` in nginx, with a NUL at its end.
///
/// `needed`, where it is not NULL, gets the size of the text with its NUL, also where the buffer is too small
/// (ALERT_EBUFFER, nothing is written). It may have grown by the next call. NULL with size 0 only asks for the size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alert_status(
    handle: *mut alert_t,
    buffer: *mut c_char,
    size: usize,
    needed: *mut usize,
) -> alert_code {
    with(handle, |engine| {
        // SAFETY: the caller's promise.
        let buffer = unsafe { Buffer::new(buffer, size, needed) }?;
        if buffer.put(&engine.status()) { Ok(ALERT_OK) } else { Err(ALERT_EBUFFER) }
    })
}

/// Hands out the oldest alert that waits, as a JSON object with a NUL at its end; ALERT_EMPTY where none waits. Each
/// alert is handed out once, to one of all processes that share the board. The last 128 wait; older ones are lost.
/// Where the settings name sinks there is nothing to poll: ALERT_ESINKS.
///
/// Buffer as for alert_status; an alert that does not fit goes on waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alert_poll(
    handle: *mut alert_t,
    buffer: *mut c_char,
    size: usize,
    needed: *mut usize,
) -> alert_code {
    with(handle, |engine| {
        // SAFETY: the caller's promise.
        let buffer = unsafe { Buffer::new(buffer, size, needed) }?;
        engine.poll(|text| buffer.put(text)).map(|found| if found { ALERT_OK } else { ALERT_EMPTY })
    })
}

/// Hands out the next line for the program's log, such as "warn: cannot deliver to slack: ...", with a NUL at its end;
/// ALERT_EMPTY where there is none. 256 lines wait, what does not fit is counted and the count is said.
///
/// Buffer as for alert_status; a line that does not fit goes on waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn alert_log(
    handle: *mut alert_t,
    buffer: *mut c_char,
    size: usize,
    needed: *mut usize,
) -> alert_code {
    with(handle, |engine| {
        // SAFETY: the caller's promise.
        let buffer = unsafe { Buffer::new(buffer, size, needed) }?;
        engine.log_line(|text| buffer.put(text)).map(|found| if found { ALERT_OK } else { ALERT_EMPTY })
    })
}

/// Frees the handle, which is none from now on, whatever this returns. Threads judge what waits, try once more to
/// deliver, and end within about `limit_ms` milliseconds. ALERT_ETIMEOUT: a thread (or a call that was under way) did
/// not end; it is left to the end of the process, with the board. What was not delivered goes on waiting in the board.
/// ALERT_EFORK: the threads are those of the process that forked this one, and were left alone.
#[unsafe(no_mangle)]
pub extern "C" fn alert_free(handle: *mut alert_t, limit_ms: u32) -> alert_code {
    guarded(|| {
        let deadline = Instant::now() + Duration::from_millis(limit_ms.into());
        let engine = handle::remove(handle.addr(), deadline)?;
        let memory = engine.stop(deadline.saturating_duration_since(Instant::now()))?;
        // SAFETY: the threads have ended and the engine, of which nothing is left, was the only user in this process.
        unsafe { memory.release() };
        Ok(ALERT_OK)
    })
}

/// Runs the body of a function; a panic ends here.
fn guarded(body: impl FnOnce() -> Result<alert_code, alert_code>) -> alert_code {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(code) | Err(code)) => code,
        Err(_) => ALERT_EDEFECT,
    }
}

/// Runs the body of a function of a handle.
fn with(handle: *mut alert_t, body: impl FnOnce(&Engine) -> Result<alert_code, alert_code>) -> alert_code {
    guarded(|| {
        let engine: Arc<Engine> = handle::get(handle.addr()).ok_or(ALERT_EHANDLE)?;
        body(&engine)
    })
}

/// Runs the body of a function that says in the caller's buffer what is wrong.
///
/// # Safety
/// Where it is not NULL, `error` is writable for `error_size` bytes.
unsafe fn refusable(error: *mut c_char, error_size: usize, body: impl FnOnce() -> Result<(), Refusal>) -> alert_code {
    guarded(|| {
        // SAFETY: the caller's promise.
        let buffer = unsafe { Buffer::new(error, error_size, ptr::null_mut()) }?;
        body().map(|()| ALERT_OK).map_err(|(code, text)| {
            buffer.put_cut(&text);
            code
        })
    })
}

fn argument(text: &str) -> Refusal {
    (ALERT_EARGUMENT, text.into())
}

/// Zero is not given.
fn given(time_ms: u64) -> Option<u64> {
    (time_ms > 0).then_some(time_ms)
}

fn checked_status(status: u32) -> Result<u16, alert_code> {
    u16::try_from(status).ok().filter(|_| status <= STATUS_MAX).ok_or(ALERT_EARGUMENT)
}

/// # Safety
/// Pointers that are not NULL are readable for their lengths, as long as the attempt is.
unsafe fn read(attempt: &alert_attempt) -> Result<Attempt<'_>, alert_code> {
    // SAFETY: the caller's promise.
    let (address, pool) =
        unsafe { (raw::bytes(attempt.address, attempt.address_len)?, raw::bytes(attempt.pool, attempt.pool_len)?) };
    Ok(attempts::attempt(Some(address), pool, checked_status(attempt.status)?, attempt.time_ms))
}
