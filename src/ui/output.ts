import { Chalk } from 'chalk';
import { CryptosenseDbError, isError, messageOf } from '../runtime/errors.ts';
import type { OnProgress } from '../runtime/progress.ts';
import { showProgress } from './progress.ts';
import { errorDocument, problemsOf, renderProblems } from './render.ts';
import type { Look } from './table.ts';

/** The flags that every command takes. */
export interface OutputFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  /** commander's form of `--no-color`. */
  readonly color?: boolean;
}

export interface Output {
  readonly onProgress: OnProgress;
  /** Prints a result: as JSON, or as the text of `render`. With `--quiet` alone it prints nothing. */
  readonly result: <T>(value: T, render: (value: T, look: Look) => string) => void;
  /** Prints what the command is there to print, with `--quiet` too. */
  readonly product: Output['result'];
  /** Prints on stdout, for another program, what the error that follows is about. Prints nothing with `--json`. */
  readonly annotations: (text: string) => void;
  readonly error: (error: unknown) => void;
}

export interface OutputOptions {
  readonly flags: OutputFlags;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Results go to stdout, progress and errors to stderr; with `--json` one document goes to stdout. */
export async function openOutput(options: OutputOptions): Promise<Output> {
  const { flags, stdout, stderr } = options;
  const isQuiet = flags.quiet === true || flags.json === true;
  // A terminal of unknown width reports 0, and ora divides by the width.
  const hasWidth = stderr.isTTY === true && stderr.columns > 0;
  const isLively = !isQuiet && hasWidth && !isPlain(options);
  const ora = isLively ? (await import('ora')).default : undefined;
  const progress = showProgress({
    write: (line) => stderr.write(line),
    look: lookOf(stderr, options),
    spinner: ora?.({ stream: stderr, discardStdin: false, hideCursor: false }),
    isVerbose: flags.verbose === true,
  });
  const product: Output['result'] = (value, render) => {
    progress.stop();
    if (flags.json) stdout.write(`${JSON.stringify(value, null, 2)}\n`);
    else stdout.write(render(value, lookOf(stdout, options)));
  };
  return {
    onProgress: isQuiet ? () => {} : progress.onProgress,
    product,
    result: (value, render) => {
      if (flags.json || !flags.quiet) product(value, render);
    },
    annotations: (text) => {
      progress.stop();
      if (!isQuiet) stdout.write(text);
    },
    error: (error) => {
      progress.stop();
      const known = isError(error)
        ? error
        : new CryptosenseDbError('unexpected', { message: messageOf(error) }, { cause: error });
      const disclosure = { isVerbose: flags.verbose === true };
      if (flags.json) {
        stdout.write(
          hidePasswords(`${JSON.stringify(errorDocument(known, disclosure), null, 2)}\n`),
        );
      } else {
        stderr.write(
          hidePasswords(renderProblems(problemsOf(known, disclosure), lookOf(stderr, options))),
        );
      }
      // An error that is not the tool's own is a fault in the code, which the stack locates.
      if (flags.verbose || known !== error) {
        stderr.write(hidePasswords(`${error instanceof Error ? error.stack : error}\n`));
      }
    },
  };
}

function lookOf(stream: NodeJS.WriteStream, options: OutputOptions): Look {
  const isColoured = stream.isTTY === true && !isPlain(options);
  return {
    chalk: new Chalk({ level: isColoured ? 1 : 0 }),
    columns: (stream.isTTY && stream.columns) || undefined,
  };
}

/** True with NO_COLOR (no-color.org), in CI, and on a terminal without colours. */
function isPlain({ flags, environment }: OutputOptions): boolean {
  const { NO_COLOR, CI, TERM } = environment;
  return flags.color === false || Boolean(NO_COLOR) || Boolean(CI) || TERM === 'dumb';
}

/** An error may repeat a URL that was given in the wrong place. */
function hidePasswords(text: string): string {
  return text.replaceAll(/(:\/+[^\s"/:@]*:)[^\s"]*@/g, '$1…@');
}
