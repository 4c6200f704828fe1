//! A command of WASI 0.3: `run` is an async function, and standard output is a stream that the guest hands over.
//!
//! `p3-hello [SECONDS] [CODE]` greets, sleeps (default 0), says so, and ends with CODE (default 0).

use wasip3::cli::{environment, exit, stdout};
use wasip3::clocks::monotonic_clock;
use wasip3::exports::cli::run::Guest;
use wasip3::wit_bindgen::rt::async_support::StreamWriter;
use wasip3::wit_stream;

struct Hello;

wasip3::cli::command::export!(Hello);

impl Guest for Hello {
    async fn run() -> Result<(), ()> {
        let args = environment::get_arguments();
        let seconds: u32 = number(args.get(1))?;
        let code: u8 = number(args.get(2))?;

        // The host reads one end while this guest writes the other; its answer comes when the stream has ended.
        let (mut writer, reader) = wit_stream::new();
        let printed = stdout::write_via_stream(reader);
        print(&mut writer, "Hello from WASI 0.3!\n").await?;
        monotonic_clock::wait_for(u64::from(seconds) * 1_000_000_000).await;
        print(&mut writer, &format!("slept {seconds} s\n")).await?;
        drop(writer);
        printed.await.map_err(|_| ())?;

        if code != 0 {
            exit::exit_with_code(code);
        }
        Ok(())
    }
}

/// An optional number; the guest fails where it is none.
fn number<T: Default + std::str::FromStr>(argument: Option<&String>) -> Result<T, ()> {
    argument.map_or(Ok(T::default()), |text| text.parse().map_err(|_| ()))
}

/// Writes it all; what is left over was refused, because nobody reads any more.
async fn print(writer: &mut StreamWriter<u8>, text: &str) -> Result<(), ()> {
    let left = writer.write_all(text.as_bytes().to_vec()).await;
    if left.is_empty() { Ok(()) } else { Err(()) }
}
