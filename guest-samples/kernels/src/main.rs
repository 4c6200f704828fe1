//! Six small computations of different kinds: what metering a guest costs depends on what it computes.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "\
usage: kernels NAME ROUNDS
  Does a computation ROUNDS times and prints how many nanoseconds that took. NAME is one of
    sha256     a hash of 64 KiB: arithmetic in straight lines
    sieve      the primes below 2 000 000: strides over memory
    xorshift   1 000 000 random numbers: a tight loop
    fib        the 24th Fibonacci number by recursion: calls
    memcpy     1 MiB copied 16 times: bulk memory
    scan       the fields of 256 KiB of text: branches";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let kernel: Option<fn(u64) -> u64> = match args.first().map(String::as_str) {
        Some("sha256") => Some(sha256),
        Some("sieve") => Some(sieve),
        Some("xorshift") => Some(xorshift),
        Some("fib") => Some(|seed| fib(24 + (seed & 1))),
        Some("memcpy") => Some(memcpy),
        Some("scan") => Some(scan),
        _ => None,
    };
    let rounds: Option<u64> = args.get(1).and_then(|rounds| rounds.parse().ok());
    let (Some(kernel), Some(rounds), 2) = (kernel, rounds, args.len()) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let start = Instant::now();
    let mut result = 0;
    for _ in 0..rounds {
        result = black_box(kernel(black_box(result & !1)));
    }
    println!("{}", start.elapsed().as_nanos());
    ExitCode::SUCCESS
}

/// FIPS 180-4, of 64 KiB.
fn sha256(seed: u64) -> u64 {
    const K: [u32; 64] = round_constants();
    let mut state: [u32; 8] =
        [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    for block in 0..1024_u32 {
        let mut w = [0_u32; 64];
        for (index, word) in (0_u32..).zip(w.iter_mut().take(16)) {
            *word = block.wrapping_mul(0x9e37_79b9).wrapping_add(index) ^ seed as u32;
        }
        for i in 16..64 {
            let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for i in 0..64 {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let t1 = h.wrapping_add(s1).wrapping_add((e & f) ^ (!e & g)).wrapping_add(K[i]).wrapping_add(w[i]);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
        }
        for (sum, word) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *sum = sum.wrapping_add(word);
        }
    }
    u64::from(state[0])
}

/// The fractional parts of the cube roots of the first 64 primes.
const fn round_constants() -> [u32; 64] {
    let mut constants = [0; 64];
    let (mut found, mut candidate) = (0, 2_u128);
    while found < 64 {
        let mut divisor = 2;
        while divisor * divisor <= candidate && candidate % divisor != 0 {
            divisor += 1;
        }
        if divisor * divisor > candidate {
            // The cube root of the prime with 32 binary digits after the point.
            let (mut low, mut high) = (0_u128, 1 << 36);
            while high - low > 1 {
                let middle = (low + high) / 2;
                if middle * middle * middle <= candidate << 96 {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            constants[found] = low as u32;
            found += 1;
        }
        candidate += 1;
    }
    constants
}

fn sieve(seed: u64) -> u64 {
    const END: usize = 2_000_000;
    let mut composite = vec![false; END];
    composite[0] = seed == 1;
    let mut count = 0;
    for number in 2..END {
        if !composite[number] {
            count += 1;
            let mut multiple = number * number;
            while multiple < END {
                composite[multiple] = true;
                multiple += number;
            }
        }
    }
    count
}

fn xorshift(seed: u64) -> u64 {
    let mut x = seed | 1;
    for _ in 0..1_000_000 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}

fn fib(n: u64) -> u64 {
    if n < 2 { n } else { black_box(fib)(n - 1) + black_box(fib)(n - 2) }
}

fn memcpy(seed: u64) -> u64 {
    let from = vec![seed as u8; 1 << 20];
    let mut to = vec![0; 1 << 20];
    for _ in 0..16 {
        black_box(&mut to[..]).copy_from_slice(black_box(&from));
    }
    u64::from(to[seed as usize % to.len()])
}

fn scan(seed: u64) -> u64 {
    const LINE: &[u8] = b"GET /index.html?name=value&other=\"quoted, text\" HTTP/1.1, 200, 1234;";
    let text: Vec<u8> = LINE.iter().copied().cycle().take(256 * 1024).collect();
    let (mut fields, mut quoted, mut sum) = (seed & 1, false, 0_u64);
    for byte in black_box(&text[..]) {
        match byte {
            b'"' => quoted = !quoted,
            b',' | b';' | b'&' if !quoted => fields += 1,
            b'0'..=b'9' => sum = sum.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')),
            b'%' | b'\\' => fields += 2,
            _ => {}
        }
    }
    fields ^ sum
}
