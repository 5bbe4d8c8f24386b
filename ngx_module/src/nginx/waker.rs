//! How other threads wake the event loop.
//!
//! Nothing runs until one does: a timer instead would wake an idle worker again and again, and lengthen the way through
//! nginx's tree of timers for every request.

use std::ffi::c_void;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use ngx::core::Status;
use ngx::ffi::{NGX_CLOSE_EVENT, ngx_connection_t, ngx_event_actions, ngx_event_t, ngx_handle_read_event, ngx_uint_t};

use super::cycle::Cycle;
use super::guarded;

/// A descriptor in the event loop of this process, by which threads wake it. Dropped, it is taken out.
pub struct Registration {
    waker: Waker,
    registered: *mut Registered,
}

/// Wakes the event loop, from any thread.
#[derive(Clone)]
pub struct Waker(Arc<OwnedFd>);

/// What nginx keeps pointers to.
struct Registered {
    connection: ngx_connection_t,
    read: ngx_event_t,
    write: ngx_event_t,
    on_wake: fn(),
}

impl Registration {
    /// Calls `on_wake` on the event loop each time somebody wakes it.
    ///
    /// # Errors
    /// The system or nginx has no room for it.
    pub fn new(cycle: Cycle<'_>, on_wake: fn()) -> io::Result<Registration> {
        // SAFETY: a plain system call; what it returns is a new descriptor or an error.
        let waker = unsafe {
            let fd = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Waker(Arc::new(OwnedFd::from_raw_fd(fd)))
        };
        // SAFETY: all three structures are valid as zero, which is how nginx makes them.
        let registered = Box::into_raw(Box::new(unsafe {
            Registered { connection: std::mem::zeroed(), read: std::mem::zeroed(), write: std::mem::zeroed(), on_wake }
        }));
        // SAFETY: from here on the structures are reached by this one pointer only. They stay where they are until `drop`
        // has taken them out of the event loop. The log belongs to the cycle, which outlives its events.
        let added = unsafe {
            let (connection, read, write) =
                (&raw mut (*registered).connection, &raw mut (*registered).read, &raw mut (*registered).write);
            let log = cycle.log().raw();
            (*connection).fd = waker.0.as_raw_fd();
            ((*connection).log, (*connection).read, (*connection).write) = (log, read, write);
            (*read).handler = Some(on_wake_up);
            (*write).set_write(1);
            for event in [read, write] {
                ((*event).log, (*event).data) = (log, connection.cast::<c_void>());
            }
            ngx_handle_read_event(read, 0)
        };
        if added != Status::NGX_OK.0 {
            // SAFETY: from `Box::into_raw`, and the event loop has refused it.
            drop(unsafe { Box::from_raw(registered) });
            return Err(io::Error::other("the event loop refuses a descriptor"));
        }
        Ok(Registration { waker, registered })
    }

    /// What threads wake it by.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

/// What was taken out last. The call of `on_wake` can be what did it, and nginx has a last look at its events then.
static TAKEN_OUT: AtomicPtr<Registered> = AtomicPtr::new(ptr::null_mut());

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: both are in the event loop. A thread that has not ended may keep the descriptor open, so that closing it
        // would not take it out. Methods like poll have no function for whole connections.
        unsafe {
            match ngx_event_actions.del_conn {
                Some(remove) => remove(&raw mut (*self.registered).connection, 0),
                None => ngx_handle_read_event(&raw mut (*self.registered).read, NGX_CLOSE_EVENT as ngx_uint_t),
            };
        }
        let before = TAKEN_OUT.swap(self.registered, Relaxed);
        if !before.is_null() {
            // SAFETY: from `Box::into_raw`, and out of the event loop since long.
            drop(unsafe { Box::from_raw(before) });
        }
    }
}

impl Waker {
    /// Wakes the event loop.
    pub fn wake(&self) {
        let once = 1_u64.to_ne_bytes();
        // SAFETY: the descriptor is open and the bytes are live. It fails only where the event loop is being woken.
        unsafe { libc::write(self.0.as_raw_fd(), once.as_ptr().cast(), once.len()) };
    }
}

/// Called by nginx when somebody has woken it.
extern "C" fn on_wake_up(event: *mut ngx_event_t) {
    // SAFETY: the event is that of a registration: its data points to the connection within.
    let (fd, on_wake) = unsafe {
        let registered = (*event).data.wrapping_byte_sub(offset_of!(Registered, connection)).cast::<Registered>();
        ((*registered).connection.fd, (*registered).on_wake)
    };
    let mut count = [0; size_of::<u64>()];
    // SAFETY: the descriptor is open and the buffer has the size that is read. It fails only where nobody woke it.
    unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
    Cycle::in_force(|cycle| guarded(cycle.log(), (), on_wake));
}
