import type { Ora } from 'ora';
import { describeHolder } from '../runtime/errors.ts';
import type {
  OnProgress,
  ProgressEvent,
  ProgressSeeder,
  ProgressStep,
} from '../runtime/progress.ts';
import { formatBytes, formatCount, renderBar } from './bar.ts';
import { formatDuration, plural } from './render.ts';
import type { Look } from './table.ts';

export interface ProgressOutput {
  readonly onProgress: OnProgress;
  /** Takes the spinner off the screen. */
  readonly stop: () => void;
}

export interface ProgressOptions {
  readonly write: (line: string) => void;
  readonly look: Look;
  /** undefined: plain lines, for a pipe or CI. */
  readonly spinner: Ora | undefined;
  readonly isVerbose: boolean;
}

/** Shows progress as one line for each step that is done. On a terminal, a spinner stands below the lines. */
export function showProgress(options: ProgressOptions): ProgressOutput {
  const { write, spinner } = options;
  return {
    onProgress: (event) => {
      const { busy, line } = describe(event, options);
      if (busy !== undefined && spinner) {
        spinner.text = busy;
        if (!spinner.isSpinning) spinner.start();
      }
      if (line === undefined) return;
      const isSpinning = spinner?.isSpinning ?? false;
      if (isSpinning) spinner?.stop();
      write(`${line}\n`);
      if (isSpinning) spinner?.start();
    },
    stop: () => spinner?.stop(),
  };
}

interface Shown {
  /** The text beside the spinner until the next event. */
  readonly busy?: string;
  /** Stays on the screen, or goes into a log. */
  readonly line?: string | undefined;
}

function describe(
  event: ProgressEvent,
  { look, isVerbose, spinner }: Omit<ProgressOptions, 'write'>,
): Shown {
  const { chalk } = look;
  const onlyVerbose = (text: string) => (isVerbose ? chalk.dim(text) : undefined);
  switch (event.kind) {
    case 'connected': {
      const busy = `connected to ${event.target}`;
      return { busy, line: onlyVerbose(busy) };
    }
    case 'waiting-for-server': {
      const busy = `waiting for the server: ${event.reason}`;
      return { busy, line: spinner ? undefined : busy };
    }
    case 'waiting-for-lock': {
      const holder = event.holder ? `: ${describeHolder(event.holder)}` : '';
      return { busy: 'waiting for another run to end', line: `waiting for another run${holder}` };
    }
    case 'unmarked': {
      const marks = 'dev, test, staging or production';
      const how = 'set it with: cryptosense-db db mark NAME';
      return { line: chalk.yellow(`"${event.database}" has no mark (${marks}); ${how}`) };
    }
    case 'step-started':
      return { busy: nameStep(event.step) };
    case 'statement-started': {
      const [step, statement] = [nameStep(event.step), `statement ${event.position + 1}`];
      return { busy: `${step}, ${statement}`, line: onlyVerbose(`${step}: ${statement}`) };
    }
    case 'step-retried': {
      const step = nameStep(event.step);
      return {
        busy: `${step}, waiting for a table lock`,
        line: `${step}: ${event.reason}; trying again in ${formatDuration(event.delayMs)}`,
      };
    }
    case 'step-finished': {
      const { direction, version, description } = event.step;
      const way = (direction === 'up' ? chalk.green : chalk.yellow)(direction.padEnd(4));
      const took = chalk.dim(formatDuration(event.durationMs).padStart(8));
      return { line: `${way} ${version}  ${took}  ${description}` };
    }
    case 'replica-wait-started': {
      const busy = `waiting for replicas: ${event.names.join(', ')}`;
      return { busy, line: spinner ? undefined : busy };
    }
    case 'waiting-for-replicas':
      return { busy: `waiting for replicas: ${event.behind.map(describeBehind).join('; ')}` };
    case 'replica-replayed': {
      const took = chalk.dim(`after ${formatDuration(event.elapsedMs)}`);
      return { line: `${chalk.green('replica')} ${event.name} has replayed all ${took}` };
    }
    case 'verifying-pair':
      return { busy: `verifying ${nameStep(event.pair)}` };
    case 'verifying-chain':
      return { busy: 'verifying the chain of all pairs' };
    case 'rolling-back-rows':
      return { busy: `rolling back with rows: ${nameStep(event.pair)}` };
    case 'market-page': {
      const page = event.pages > 1 ? `, page ${event.page} of ${event.pages}` : '';
      return { busy: `asking CoinGecko${page}` };
    }
    case 'market-retried': {
      const delay = formatDuration(event.delayMs);
      return {
        busy: `waiting ${delay} for CoinGecko: ${event.reason}`,
        line: `${event.reason}; asking again in ${delay}`,
      };
    }
    case 'market-paced':
      return { busy: `waiting ${formatDuration(event.delayMs)} for CoinGecko's rate limit` };
    case 'seeder-started':
      return { busy: nameSeeder(event.seeder) };
    case 'rows-loaded':
      return { busy: loadText(event, look) };
    case 'seeder-finished': {
      const rows = plural(event.rows, 'row').padStart(14);
      const took = chalk.dim(formatDuration(event.durationMs).padStart(8));
      return { line: `${chalk.green('seed')} ${event.seeder.name.padEnd(24)} ${rows}  ${took}` };
    }
    case 'test-server':
      return { line: serverText(event) };
    case 'template-started':
      return { busy: 'making the template of the test databases' };
    case 'template-finished': {
      const template = `the template ${event.key.slice(0, 8)} of the test databases`;
      return { line: `${chalk.green('made')} ${template} in ${formatDuration(event.durationMs)}` };
    }
    case 'import-planned': {
      const { assets, missing, files, requests, estimatedMs } = event;
      if (assets + files === 0) return {};
      const what =
        files > 0
          ? plural(files, 'file')
          : `${plural(missing, 'price')} of ${plural(assets, 'asset')}, ${plural(requests, 'request')}, about ${formatDuration(estimatedMs)}`;
      return { line: `${chalk.cyan('to import')} ${what}` };
    }
    case 'prices-written': {
      const { of, rows, rowsPerSecond, requestsLeft, leftMs } = event;
      const speed = rows > 0 ? `, ${formatCount(rowsPerSecond)} a second` : '';
      const left =
        leftMs === undefined
          ? ''
          : `, ${plural(requestsLeft, 'request')} left, about ${formatDuration(Math.max(leftMs, 0))}`;
      return { busy: `${of}: ${plural(rows, 'row')}${speed}${left}` };
    }
    case 'prices-finished': {
      const { of, index, total, rows } = event;
      const place = chalk.dim(`${index} of ${total}`);
      return {
        line: `${chalk.green('import')} ${of.padEnd(24)} ${plural(rows, 'row').padStart(14)}  ${place}`,
      };
    }
    case 'candles-started':
      return { busy: 'refreshing the daily candles' };
    case 'policies-left-paused':
      return {
        line: `${chalk.yellow('the policy that refreshes candles stays paused')}; the next import refreshes them and resumes it`,
      };
    case 'files-copied':
      return { busy: `${event.what} of the files: ${Math.floor(event.percent)} %` };
    case 'backup-bytes': {
      const { bytes, total, elapsedMs } = event;
      const rate = elapsedMs > 0 ? `, ${formatBytes((bytes / elapsedMs) * 1_000)}/s` : '';
      if (total === undefined) return { busy: `${formatBytes(bytes)} stored${rate}` };
      const share = `${Math.floor((bytes / Math.max(1, total)) * 100)}%`;
      return { busy: `${formatBytes(bytes)} of ${formatBytes(total)} read (${share})${rate}` };
    }
    case 'backup-counted':
      return { busy: `counting rows: ${event.done} of ${plural(event.total, 'table')}` };
    case 'backup-phase':
      return { busy: event.phase };
    case 'benchmark-round': {
      const { query, clients, round, rounds } = event;
      return { busy: `round ${round} of ${rounds}: ${query}, ${plural(clients, 'client')}` };
    }
    case 'left-out':
      return { line: chalk.yellow(`left out: ${event.object}: ${event.reason}`) };
    case 'notice': {
      const { severity, message } = event;
      return severity === 'WARNING'
        ? { line: chalk.yellow(`warning: ${message}`) }
        : { line: onlyVerbose(`${severity.toLowerCase()}: ${message}`) };
    }
    default:
      return event satisfies never;
  }
}

function serverText(event: ProgressEvent & { readonly kind: 'test-server' }): string {
  const { origin, target, container } = event;
  if (origin === 'option') return `server: ${target}`;
  const source = origin === 'container' ? 'a container' : origin;
  const end =
    container === undefined ? '' : `, left running; end it with: docker rm --force ${container}`;
  return `server: ${target} (${source}${end})`;
}

function describeBehind({
  name,
  isConnected,
  lagBytes,
}: (ProgressEvent & { readonly kind: 'waiting-for-replicas' })['behind'][number]): string {
  if (!isConnected) return `${name} has disconnected`;
  return lagBytes === undefined ? name : `${name} is ${formatBytes(lagBytes)} behind`;
}

function nameStep({ version, description, index, total }: Omit<ProgressStep, 'direction'>): string {
  return `${version} ${description} (${index} of ${total})`;
}

function nameSeeder({ name, index, total }: ProgressSeeder): string {
  return `${name} (${index} of ${total})`;
}

/** The columns of the spinner and the space after it. */
const spinnerWidth = 3;

function loadText(
  { seeder, rows, total, elapsedMs }: ProgressEvent & { readonly kind: 'rows-loaded' },
  look: Look,
): string {
  const name = `${seeder.name} `;
  const columns = (look.columns ?? 80) - name.length - spinnerWidth;
  return `${name}${renderBar({ rows, total, elapsedMs }, { ...look, columns })}`;
}
