//! Runs a program in which the kernel refuses some system calls, as the filter of a container does:
//! `refuse ERRNO NUMBER[,NUMBER...] PROGRAM [ARGUMENT...]`.

use std::os::unix::process::CommandExt;
use std::process::Command;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [errno, calls, program, arguments @ ..] = words.as_slice() else {
        panic!("refuse ERRNO NUMBER[,NUMBER...] PROGRAM [ARGUMENT...]");
    };
    let errno: u32 = errno.parse().expect("a number");
    let calls: Vec<u32> = calls.split(',').map(|number| number.parse().expect("a number")).collect();
    refuse(errno, &calls);
    panic!("{}", Command::new(program).args(arguments).exec());
}

/// Installs a filter for this process and all that come of it.
fn refuse(errno: u32, calls: &[u32]) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    // The number of the call stands first in what a filter sees.
    let mut filter = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for (at, call) in calls.iter().enumerate() {
        filter.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, (calls.len() - at) as u8, 0, *call));
    }
    filter.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the filter outlives the call that copies it.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    assert!(!refused, "{}", std::io::Error::last_os_error());
}
