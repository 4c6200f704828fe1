// A command of WASI 0.2 in JavaScript: prints arguments and environment, waits for the request to stop, and ends with any
// exit code.

import { wait } from 'nacelle:pod/termination@0.1.0';
import { getArguments, getEnvironment } from 'wasi:cli/environment@0.2.12';
import { exitWithCode } from 'wasi:cli/exit@0.2.12';
import { getStderr } from 'wasi:cli/stderr@0.2.12';
import { getStdout } from 'wasi:cli/stdout@0.2.12';

const USAGE = `\
usage: js-hello [WORD...]    print the arguments
       js-hello env NAME...  print variables, one NAME=value a line
       js-hello json         print arguments and environment as JSON
       js-hello wait         run until the container is asked to stop, then say how long that may take
       js-hello exit CODE    end with this exit code (0 to 255)`;

// A single write takes at most 4096 bytes (wasi:io/streams).
const CHUNK = 4096;

// QuickJS is the language alone, without the console and TextEncoder of browsers; percent-encoding knows UTF-8 too.
function utf8(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text.toWellFormed())), (byte) => byte.charCodeAt(0));
}

function write(stream, text) {
  const bytes = utf8(text);
  for (let start = 0; start < bytes.length; start += CHUNK) {
    stream.blockingWriteAndFlush(bytes.slice(start, start + CHUNK));
  }
}

const print = (line) => write(getStdout(), `${line}\n`);
const warn = (line) => write(getStderr(), `js-hello: ${line}\n`);

function printEnv(names) {
  const variables = new Map(getEnvironment());
  for (const name of names) {
    if (!variables.has(name)) {
      warn(`${name} is not set`);
      return 1;
    }
    print(`${name}=${variables.get(name)}`);
  }
  return 0;
}

function main(args) {
  switch (args[0]) {
    case 'env':
      return printEnv(args.slice(1));
    case 'json':
      print(JSON.stringify({ args, env: Object.fromEntries(getEnvironment()) }));
      return 0;
    case 'wait':
      print('waiting');
      // A duration of WASI is a BigInt of nanoseconds.
      print(`asked to stop, with ${Math.ceil(Number(wait()) / 1e9)} s left`);
      return 0;
    case 'exit':
      if (args.length === 2 && /^\d{1,3}$/.test(args[1]) && Number(args[1]) <= 255) {
        return Number(args[1]);
      }
      warn(USAGE);
      return 2;
    default:
      print(`Hello from JavaScript${args.map((word) => ` ${word}`).join('')}!`);
      return 0;
  }
}

// The export wasi:cli/run.
export const run = {
  run() {
    const code = main(getArguments().slice(1));
    if (code !== 0) {
      exitWithCode(code);
    }
  },
};
