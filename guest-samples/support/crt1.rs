//! Start-up code for WASI 0.2 commands linked with Debian 12's wasi-libc, in place of its crt1-command.o.
//!
//! That object leaves it to wasm-ld to call the constructors. wasm-ld then wraps every export in constructor calls,
//! `cabi_realloc` among them; the host calls that while it still lowers arguments, where a guest may call nothing
//! ("cannot leave component instance"). Calling the constructors here, once, keeps the exports bare.

#![feature(lang_items, no_core)]
#![no_core]
#![no_main]
#![allow(internal_features)]

// The few language items that this file needs; with `core` it would have to be linked to it.
#[lang = "pointee_sized"]
pub trait PointeeSized {}
#[lang = "meta_sized"]
pub trait MetaSized: PointeeSized {}
#[lang = "sized"]
pub trait Sized: MetaSized {}
#[lang = "copy"]
pub trait Copy {}
impl Copy for i32 {}

unsafe extern "C" {
    fn __wasm_call_ctors();
    fn __main_void() -> i32;
    fn __wasm_call_dtors();
    fn exit(code: i32) -> !;
}

#[unsafe(export_name = "_start")]
pub unsafe extern "C" fn start() {
    unsafe {
        __wasm_call_ctors();
        match __main_void() {
            0 => __wasm_call_dtors(),
            code => exit(code),
        }
    }
}
