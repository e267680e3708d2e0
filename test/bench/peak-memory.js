// @ts-check
// Loaded into a program with --import: leaves its peak resident set size, in KiB, in a file.
import { writeFileSync } from 'node:fs';

process.once('exit', () => {
  writeFileSync(process.env.BENCH_PEAK_MEMORY ?? '', String(process.resourceUsage().maxRSS));
});
