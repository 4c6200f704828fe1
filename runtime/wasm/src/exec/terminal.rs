//! A terminal between an exec's client and its program: what the kernel does for Linux programs.
//!
//! ```text
//!   client's input ──► LineDiscipline ──lines──► the program's standard input
//!                          │ echo
//!   client's output ◄──────┴── \n becomes \r\n ◄── the program's output, both kinds
//! ```
//!
//! A client puts its own terminal into raw mode and sends each key. WASI has no way to switch echo or lines off, so that a
//! program always has both, as it would in a shell: what is typed is seen, may be corrected, and comes a line at a time.
//! `^D` ends the input, `^C` the program, with 130.

use std::pin::Pin;

use nacelle_container::output::{self, Chunk, MAX_CHUNK, OutputReceiver, OutputSender, Stream};
use nacelle_container::{ExecError, ExitCause};
use nacelle_toolbox::Reader;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// The most bytes of a line, and of lines that wait for the program, as on Linux. What is typed beyond that is lost.
const MAX_LINE: usize = 4096;
/// How much typed input is read at once.
const READ: usize = 1024;
/// 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// What the program has of its terminal.
pub(super) struct Ends {
    pub(super) stdin: Reader,
    pub(super) output: OutputSender,
}

/// The terminal itself.
pub(super) struct Device {
    keys: Reader,
    lines: DuplexStream,
    written: OutputReceiver,
    screen: OutputSender,
}

/// A terminal whose client types `keys` and sees `screen`.
pub(super) fn attach(keys: Option<Reader>, screen: OutputSender) -> (Ends, Device) {
    let (lines, stdin) = tokio::io::duplex(MAX_LINE);
    let (output, written) = output::channel();
    let keys = keys.unwrap_or_else(|| Box::new(tokio::io::empty()));
    (Ends { stdin: Box::new(stdin), output }, Device { keys, lines, written, screen })
}

impl Device {
    /// Runs `program` on this terminal, until it ends or is interrupted and all of its output is on the screen.
    pub(super) async fn serve(
        self,
        program: impl Future<Output = Result<ExitCause, ExecError>>,
    ) -> Result<ExitCause, ExecError> {
        let Self { mut keys, lines, mut written, screen } = self;
        let show = async |bytes: Vec<u8>| {
            for piece in bytes.chunks(MAX_CHUNK) {
                let bytes = bytes::Bytes::copy_from_slice(piece);
                let chunk = Chunk::now(Stream::Stdout, bytes);
                // A client that went away sees nothing.
                let _ = screen.send(chunk).await;
            }
        };
        let mut program = Some(Box::pin(program));
        let mut ended = None;
        let mut discipline = LineDiscipline::default();
        let mut lines = Some(lines);
        let mut waiting = Vec::new();
        let mut typed = [0; READ];
        let mut typing = true;
        loop {
            tokio::select! {
                biased;
                result = end_of(&mut program), if program.is_some() => {
                    // Its output may still be in the channel; its senders go with it.
                    program = None;
                    ended = Some(result);
                }
                chunk = written.recv() => match chunk {
                    Some(chunk) => show(to_screen(&chunk.bytes)).await,
                    None => return match ended {
                        Some(result) => result,
                        None => end_of(&mut program).await,
                    },
                },
                written = write_some(lines.as_mut(), &waiting), if lines.is_some() && !waiting.is_empty() => match written {
                    Ok(count) => drop(waiting.drain(..count)),
                    // The program reads no more.
                    Err(_) => waiting.clear(),
                },
                read = keys.read(&mut typed), if typing && program.is_some() => {
                    let keys = match read {
                        Ok(count) if count > 0 => typed.get(..count).unwrap_or_default(),
                        _ => {
                            typing = false;
                            discipline.complete(&mut waiting);
                            discipline.end = true;
                            &[]
                        }
                    };
                    let mut echo = Vec::new();
                    for key in keys {
                        discipline.key(*key, &mut echo, &mut waiting);
                    }
                    show(echo).await;
                    if discipline.interrupted {
                        drop(program);
                        while let Ok(chunk) = written.try_recv() {
                            show(to_screen(&chunk.bytes)).await;
                        }
                        return Ok(ExitCause::Exited { code: INTERRUPTED });
                    }
                }
            }
            if discipline.end && waiting.is_empty() {
                lines = None;
            }
        }
    }
}

async fn end_of<F: Future>(program: &mut Option<Pin<Box<F>>>) -> F::Output {
    match program {
        Some(program) => program.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn write_some(lines: Option<&mut DuplexStream>, bytes: &[u8]) -> std::io::Result<usize> {
    match lines {
        Some(lines) => lines.write(bytes).await,
        None => Ok(bytes.len()),
    }
}

/// What the program writes, as a screen in raw mode needs it.
fn to_screen(bytes: &[u8]) -> Vec<u8> {
    let mut screen = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if *byte == b'\n' {
            screen.push(b'\r');
        }
        screen.push(*byte);
    }
    screen
}

/// The line that is being typed.
#[derive(Debug, Default)]
struct LineDiscipline {
    line: Vec<u8>,
    /// `^D` was typed, or the client's input has ended.
    end: bool,
    /// `^C` was typed.
    interrupted: bool,
}

impl LineDiscipline {
    /// Takes one key: appends to `echo` what is to be seen of it, and to `ready` what the program gets.
    fn key(&mut self, key: u8, echo: &mut Vec<u8>, ready: &mut Vec<u8>) {
        const INTERRUPT: u8 = 3;
        const END: u8 = 4;
        const BACKSPACE: u8 = 8;
        const KILL_LINE: u8 = 21;
        const DELETE: u8 = 127;
        if self.end || self.interrupted {
            return;
        }
        match key {
            INTERRUPT => {
                echo.extend_from_slice(b"^C\r\n");
                self.interrupted = true;
            }
            END if self.line.is_empty() => self.end = true,
            END => self.complete(ready),
            b'\r' | b'\n' => {
                echo.extend_from_slice(b"\r\n");
                self.line.push(b'\n');
                self.complete(ready);
            }
            BACKSPACE | DELETE => self.erase(echo),
            KILL_LINE => {
                while !self.line.is_empty() {
                    self.erase(echo);
                }
            }
            // Room for the end of the line.
            _ if self.line.len() + 1 >= MAX_LINE => {}
            key => {
                self.line.push(key);
                match key {
                    b'\t' => echo.push(key),
                    0..32 => echo.extend([b'^', key + 64]),
                    key => echo.push(key),
                }
            }
        }
    }

    fn complete(&mut self, ready: &mut Vec<u8>) {
        if ready.len() + self.line.len() <= MAX_LINE {
            ready.append(&mut self.line);
        }
        self.line.clear();
    }

    /// Removes the last character, all of its bytes.
    fn erase(&mut self, echo: &mut Vec<u8>) {
        let mut last = None;
        while let Some(byte) = self.line.pop() {
            last = Some(byte);
            if byte & 0xc0 != 0x80 {
                break;
            }
        }
        if let Some(byte) = last {
            let columns = if byte < 32 && byte != b'\t' { 2 } else { 1 };
            echo.extend(b"\x08 \x08".repeat(columns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen, and what the program gets.
    fn typed(keys: &[u8]) -> (String, String, LineDiscipline) {
        let mut discipline = LineDiscipline::default();
        let (mut echo, mut ready) = (Vec::new(), Vec::new());
        for key in keys {
            discipline.key(*key, &mut echo, &mut ready);
        }
        (String::from_utf8(echo).unwrap(), String::from_utf8(ready).unwrap(), discipline)
    }

    #[test]
    fn lines_come_as_a_whole_and_may_be_corrected() {
        let (echo, ready, _) = typed(b"ab\x7fc\r");
        assert_eq!((echo.as_str(), ready.as_str()), ("ab\x08 \x08c\r\n", "ac\n"));
        let (_, ready, discipline) = typed("ä\x7f\x7fx\x15yes".as_bytes());
        assert_eq!((ready.as_str(), discipline.line.as_slice()), ("", &b"yes"[..]));
        assert_eq!(typed(b"\x01").0, "^A");
    }

    #[test]
    fn control_keys_end_input_and_program() {
        let (_, ready, discipline) = typed(b"part\x04\x04after");
        assert_eq!((ready.as_str(), discipline.end), ("part", true));
        let (echo, ready, discipline) = typed(b"line\x03more\r");
        assert_eq!((echo.as_str(), ready.as_str(), discipline.interrupted), ("line^C\r\n", "", true));
    }

    #[test]
    fn what_nobody_reads_is_bounded() {
        let mut keys = vec![b'x'; 3 * MAX_LINE];
        keys.push(b'\r');
        let (_, ready, _) = typed(&keys);
        assert_eq!(ready.len(), MAX_LINE);
        let (_, ready, _) = typed(&b"0123456\r".repeat(1000));
        assert_eq!(ready.len(), MAX_LINE);
    }

    #[test]
    fn screens_get_carriage_returns() {
        assert_eq!(to_screen(b"a\nb\n"), b"a\r\nb\r\n");
    }
}
