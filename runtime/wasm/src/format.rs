//! What kind of WebAssembly binary a program is, told from its header.
//!
//! Source: the core specification's binary format (magic, version) and the component model's, which splits the version
//! field into a 16-bit version and a 16-bit layer.

/// A kind of binary that can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A core module: adapted to a component when it is prepared.
    Module,
    /// A component.
    Component,
}

impl Format {
    /// Reads the header of `bytes`.
    ///
    /// # Errors
    /// What the bytes are instead, in words for users.
    pub(crate) fn detect(bytes: &[u8]) -> Result<Self, String> {
        let Some((header, _)) = bytes.split_first_chunk::<8>() else {
            return Err(format!("not a WebAssembly program: it has only {} bytes", bytes.len()));
        };
        let [m0, m1, m2, m3, version, v1, layer, l1] = *header;
        if [m0, m1, m2, m3] != *b"\0asm" {
            return Err(match header {
                [0x7f, b'E', b'L', b'F', ..] => {
                    "an ELF file, not a WebAssembly program: native and precompiled binaries do not run here".to_owned()
                }
                [b'(', ..] => "WebAssembly text: convert it to a binary first (wasm-tools parse)".to_owned(),
                _ => "not a WebAssembly program: it does not begin with \\0asm".to_owned(),
            });
        }
        match (u16::from_le_bytes([version, v1]), u16::from_le_bytes([layer, l1])) {
            (1, 0) => Ok(Self::Module),
            (0x0d, 1) => Ok(Self::Component),
            (version, 1) => Err(format!(
                "a component in binary version {version:#x}, and this runtime knows 0xd: build it with other tools"
            )),
            (version, layer) => {
                Err(format!("an unknown kind of WebAssembly binary (version {version}, layer {layer})"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        assert_eq!(Format::detect(b"\0asm\x01\0\0\0"), Ok(Format::Module));
        assert_eq!(Format::detect(b"\0asm\x0d\0\x01\0rest"), Ok(Format::Component));
        for (bytes, words) in [
            (&b""[..], "0 bytes"),
            (b"\0asm\x01", "only 5 bytes"),
            (b"\x7fELF\x02\x01\x01\0", "an ELF file"),
            (b"(module)", "WebAssembly text"),
            (b"#!/bin/sh", "does not begin with"),
            (b"\0asm\x0e\0\x01\0", "binary version 0xe"),
            (b"\0asm\x02\0\0\0", "version 2, layer 0"),
        ] {
            let error = Format::detect(bytes).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
