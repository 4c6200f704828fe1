//! System calls that have no safe wrapper, each with the proof that its use here is sound.

// A process that becomes another one has to fork, change its namespaces and install filters: all of that is unsafe to
// the compiler.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit};
use rustix::thread::UnshareFlags;
use seccompiler::BpfProgram;
use tokio::io::unix::AsyncFd;

use crate::cgroup::devices::Instruction;

/// Puts the calling process into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: what makes unshare(2) unsafe is FILES, which no caller passes: descriptors stay shared as Rust expects.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags.difference(UnshareFlags::FILES)) }?)
}

/// As [`unshare`], for a process that may do nothing but system calls.
pub(crate) fn unshare_raw(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: as above.
    unsafe { rustix::thread::unshare_unsafe(flags.difference(UnshareFlags::FILES)) }
}

/// Which side of a fork this is.
pub(crate) enum Fork {
    Parent(Pid),
    Child,
}

/// Forks. In a process of many threads the child may only do system calls until it ends.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: called by the monitor, which has no other thread that could hold a lock, and by `beside::holding`, whose
    // child does system calls only.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => match Pid::from_raw(pid) {
            Some(pid) => Ok(Fork::Parent(pid)),
            None => Err(io::ErrorKind::InvalidData.into()),
        },
    }
}

/// What a forked process does that has only one thing to do. It keeps nothing open of whom it was forked from.
pub(crate) fn end_with(last: impl FnOnce()) -> ! {
    // SAFETY: a plain system call. This process uses no descriptor that it has not opened itself later.
    unsafe { libc::close_range(0, u32::MAX, 0) };
    last();
    exit(0)
}

/// What a forked process does that holds namespaces: makes them with `work`, which may do system calls only, writes the
/// error's number or 0, and waits to be killed. It ends with the thread that forked it.
pub(crate) fn hold(outcome: &OwnedFd, work: impl FnOnce() -> Result<(), Errno>) -> ! {
    // SAFETY: plain system calls.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let number = work().err().map_or(0, Errno::raw_os_error);
    let _ = rustix::io::write(outcome, &number.to_ne_bytes());
    loop {
        // SAFETY: a plain system call.
        unsafe { libc::pause() };
    }
}

/// Ends this process, which was forked, without anything that its parent wants done at its own end.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: a plain system call.
    unsafe { libc::_exit(code) }
}

/// Keeps other processes of the same user namespace from looking into this one, whatever they may do there.
pub(crate) fn hide() {
    // SAFETY: a plain system call.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
}

/// The user namespace whose root commands the namespace that this file stands for (ioctl_nsfs(2)).
pub(crate) fn owning_user_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor lives through the call, which takes no argument.
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_USERNS) };
    // SAFETY: what the kernel gives is a new descriptor, and nobody else has it.
    if result >= 0 { Ok(unsafe { OwnedFd::from_raw_fd(result) }) } else { Err(io::Error::last_os_error()) }
}

/// What changes of a mount (mount_setattr(2)).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MountChange<'a> {
    /// Its files' owners are those of this user namespace.
    pub(crate) ids: Option<BorrowedFd<'a>>,
    pub(crate) read_only: bool,
    /// With all that is mounted below it.
    pub(crate) recursive: bool,
}

/// Changes a mount that this descriptor stands for.
pub(crate) fn change_mount(mount: BorrowedFd<'_>, change: MountChange<'_>) -> Result<(), Errno> {
    let mut attr_set = 0;
    if change.read_only {
        attr_set |= libc::MOUNT_ATTR_RDONLY;
    }
    if change.ids.is_some() {
        attr_set |= libc::MOUNT_ATTR_IDMAP;
    }
    let userns_fd = change.ids.and_then(|fd| u64::try_from(fd.as_raw_fd()).ok()).unwrap_or_default();
    let attr = libc::mount_attr { attr_set, attr_clr: 0, propagation: 0, userns_fd };
    let recursive = if change.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path and the structure live through the call, and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)) }
}

/// The other end of a terminal whose controlling end this is (TIOCGPTPEER).
pub(crate) fn terminal_peer(terminal: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the descriptor lives through the call, whose argument is a number.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    // SAFETY: what the kernel gives is a new descriptor, and nobody else has it.
    if result >= 0 { Ok(unsafe { OwnedFd::from_raw_fd(result) }) } else { Err(io::Error::last_os_error()) }
}

/// Becomes what process 1 of a pod is: reaps whatever ends, and does nothing else until it is killed.
pub(crate) fn reap_forever() -> ! {
    // SAFETY: plain system calls. Ignoring SIGCHLD makes the kernel reap; closing all descriptors harms nobody, because
    // this process never uses one again.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::close_range(0, u32::MAX, 0);
        loop {
            libc::pause();
        }
    }
}

/// Sends a signal by its number; real-time ones have no names.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor lives through the call, and a null siginfo is allowed (pidfd_send_signal(2)).
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has tokio watch a descriptor. Must be called within a tokio runtime.
pub(crate) fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays open, and stays the same, for as long as the AsyncFd has it.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

/// Switches the loopback of the calling process' network namespace on.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: an ifreq of zeros is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    // SAFETY: SIOCSIFFLAGS reads an ifreq, and this one lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives a program the signals that it expects: Rust ignores SIGPIPE, and that would be inherited.
pub(crate) fn reset_signals() {
    // SAFETY: plain system calls on a set that is initialised before it is used.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Installs a system call filter. Needs no_new_privs or CAP_SYS_ADMIN.
///
/// Not through the library that compiled it: that sets no_new_privs, and a container may be allowed to gain privileges.
pub(crate) fn install_filter(filter: &BpfProgram) -> io::Result<()> {
    let len = u16::try_from(filter.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast::<libc::sock_filter>().cast_mut() };
    // SAFETY: the library's sock_filter has the kernel's layout, as libc's has; the kernel copies the program during the
    // call and never writes to it.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Becomes another program. Returns only why not.
pub(crate) fn exec(path: &CString, argv: &[CString], env: &[CString]) -> Result<Infallible, io::Error> {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer, and all strings live through the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// `BPF_PROG_LOAD` and `BPF_PROG_ATTACH`, with as much of `union bpf_attr` as they need.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;

#[repr(C)]
struct BpfLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct BpfAttach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Loads a program that decides about devices.
pub(crate) fn load_device_filter(program: &[Instruction]) -> io::Result<OwnedFd> {
    match load_program(program) {
        // Before Linux 5.11 a program counts as locked memory. What this process may lock its children may, too.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let before = rustix::process::getrlimit(Resource::Memlock);
            rustix::process::setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })?;
            let loaded = load_program(program);
            rustix::process::setrlimit(Resource::Memlock, before)?;
            loaded
        }
        loaded => loaded,
    }
}

fn load_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    const CGROUP_DEVICE: u32 = 15;
    let attributes = BpfLoad {
        program_type: CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: program.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads the attributes, as many bytes as it is told, and what they point to: so many instructions of
    // the kernel's own layout, and a string that ends with a zero. All of it outlives the call.
    let loaded = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<BpfLoad>()) };
    match i32::try_from(loaded) {
        // SAFETY: a new descriptor, which nobody else has.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has a program decide about devices for a control group, beside others that do. It goes with the group.
pub(crate) fn attach_device_filter(program: &OwnedFd, group: &impl AsFd) -> io::Result<()> {
    const CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    let attributes = BpfAttach {
        target: group.as_fd().as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the kernel reads the attributes, as many bytes as it is told; both descriptors are open.
    let done = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attributes, size_of::<BpfAttach>()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
