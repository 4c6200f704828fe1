//! Fails in every way a guest can, to show how each is reported.

use std::env;
use std::hint::{assert_unchecked, black_box};
use std::process;
use std::ptr;

use wasip2::cli::exit::exit_with_code;

const USAGE: &str = "\
usage: crasher trap            execute the unreachable instruction
       crasher abort           call abort()
       crasher panic           panic with a message
       crasher stack-overflow  recurse without end
       crasher oob             read outside the memory
       crasher div-zero        divide an integer by zero
       crasher exit CODE       end with this exit code (0 to 255)";

fn main() {
    let args: Vec<String> = env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    println!("about to fail: {}", args.get(1..).unwrap_or_default().join(" "));
    match args.get(1..).unwrap_or_default() {
        ["trap"] => trap(),
        ["abort"] => process::abort(),
        ["panic"] => panic!("as asked"),
        ["stack-overflow"] => println!("came back with {}", recurse(1)),
        ["oob"] => out_of_bounds(),
        ["div-zero"] => println!("the quotient is {}", divide(black_box(1), black_box(0))),
        ["exit", code] if code.parse::<u8>().is_ok() => exit_with_code(code.parse().unwrap_or_default()),
        _ => {}
    }
    eprintln!("{USAGE}");
    exit_with_code(2);
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() -> ! {
    process::abort()
}

/// Calls itself through a pointer that the optimiser cannot follow, so that no loop comes of it.
fn recurse(depth: u64) -> u64 {
    let next: fn(u64) -> u64 = black_box(recurse);
    depth + next(depth + 1)
}

fn out_of_bounds() {
    // NOT sound, on purpose: nothing lies at the end of the address space, so the instruction traps.
    let value = unsafe { ptr::read_volatile(black_box(usize::MAX - 7) as *const u8) };
    println!("read {value}");
}

/// Rust would check the divisor and panic; this leaves it to the instruction, which traps.
fn divide(dividend: i32, divisor: i32) -> i32 {
    // NOT sound, on purpose: the promise is broken by the caller.
    unsafe { assert_unchecked(divisor != 0) };
    dividend / divisor
}
