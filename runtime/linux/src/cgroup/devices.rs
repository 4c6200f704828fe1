//! Which devices the processes of a group of version 2 may open: a program that the kernel asks, as there is no file for it.
//!
//! The rules are those that libcontainer has for version 1, which are containerd's: all device files may be made, and the
//! harmless ones be opened. [`filter`] is pure; the system calls are [`sys`]'s.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::sys;

/// A character device, or all of a kind.
struct Device {
    major: i32,
    minor: Option<i32>,
}

const fn device(major: i32, minor: i32) -> Device {
    Device { major, minor: Some(minor) }
}

/// What everybody may read and write.
const ALLOWED: [Device; 10] = [
    device(1, 3),                       // null
    device(1, 5),                       // zero
    device(1, 7),                       // full
    device(1, 8),                       // random
    device(1, 9),                       // urandom
    device(5, 0),                       // tty
    device(5, 1),                       // console
    device(5, 2),                       // ptmx
    Device { major: 136, minor: None }, // pts/*
    device(10, 200),                    // net/tun
];

/// `BPF_DEVCG_ACC_MKNOD` alone: a file is made, and nothing is opened.
const MAKE: i32 = 1;
/// `BPF_DEVCG_DEV_CHAR`.
const CHARACTER: i32 = 2;

/// One instruction of BPF (RFC 9669, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    code: u8,
    /// The destination in the lower half, the source in the upper one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: destination | source << 4, offset, immediate }
}

/// `destination = *(u32 *)(source + offset)`
const fn load(destination: u8, source: u8, offset: i16) -> Instruction {
    instruction(0x61, destination, source, offset, 0)
}

/// Skips so many instructions if a register is not this number.
const fn unless(register: u8, is: i32, skip: i16) -> Instruction {
    instruction(0x55, register, 0, skip, is)
}

/// Ends, with 1 for yes.
const fn answer(yes: bool) -> [Instruction; 2] {
    [instruction(0xb7, 0, 0, 0, yes as i32), instruction(0x95, 0, 0, 0, 0)]
}

/// The program. It is given `struct bpf_cgroup_dev_ctx`: the access in the upper half of a word and the device's kind in the
/// lower one, then its major and its minor number.
fn filter() -> Vec<Instruction> {
    let (context, kind, major, minor, access) = (1, 2, 3, 4, 5);
    let mut program = vec![
        load(kind, context, 0),
        load(major, context, 4),
        load(minor, context, 8),
        // access = kind >> 16; kind &= 0xffff, on 32 bits.
        instruction(0xbc, access, kind, 0, 0),
        instruction(0x74, access, 0, 0, 16),
        instruction(0x54, kind, 0, 0, 0xffff),
        unless(access, MAKE, 2),
    ];
    program.extend(answer(true));
    // A character device goes on behind the refusal.
    program.push(instruction(0x15, kind, 0, 2, CHARACTER));
    program.extend(answer(false));
    for device in &ALLOWED {
        match device.minor {
            Some(number) => program.extend([unless(major, device.major, 3), unless(minor, number, 2)]),
            None => program.push(unless(major, device.major, 2)),
        }
        program.extend(answer(true));
    }
    program.extend(answer(false));
    program
}

/// Has the kernel refuse all other devices to the processes of a group, and to those of groups below it. What groups above
/// it refuse stays refused.
pub(super) fn restrict(group: &Path) -> io::Result<()> {
    let group = File::open(group)?;
    let program = sys::load_device_filter(&filter())?;
    sys::attach_device_filter(&program, &group)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs the program as the kernel does.
    fn run(access: i32, kind: i32, major: i32, minor: i32) -> bool {
        let context = [kind | access << 16, major, minor];
        let (program, mut registers, mut at) = (filter(), [0_i32; 11], 0_usize);
        loop {
            let Instruction { code, registers: both, offset, immediate } = program[at];
            let (destination, source) = (usize::from(both & 15), usize::from(both >> 4));
            at += 1;
            let mut jump = |jumps: bool| at += if jumps { usize::try_from(offset).unwrap() } else { 0 };
            match code {
                0x61 => registers[destination] = context[usize::try_from(offset).unwrap() / 4],
                0xbc => registers[destination] = registers[source],
                0x74 => registers[destination] = (registers[destination].cast_unsigned() >> immediate).cast_signed(),
                0x54 => registers[destination] &= immediate,
                0xb7 => registers[destination] = immediate,
                0x55 => jump(registers[destination] != immediate),
                0x15 => jump(registers[destination] == immediate),
                0x95 => return registers[0] == 1,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn harmless_devices_are_opened_and_all_are_made() {
        assert!(run(6, 2, 1, 3) && run(2, 2, 136, 7) && run(4, 2, 5, 2));
        assert!(!run(2, 2, 1, 1), "/dev/mem");
        assert!(!run(2, 1, 1, 3), "a block device with the numbers of /dev/null");
        assert!(!run(2, 1, 254, 0) && run(1, 1, 254, 0));
        assert!(!run(3, 1, 254, 0), "made and opened");
    }

    proptest! {
        #[test]
        fn nothing_else_is_opened(access in 2..8, kind in 1..3, major in 0..300, minor in 0..300) {
            let listed = ALLOWED.iter().any(|device| {
                device.major == major && device.minor.is_none_or(|number| number == minor)
            });
            prop_assert_eq!(run(access, kind, major, minor), kind == 2 && listed);
        }
    }
}
