/** The questions in the order of `inspect all`, with what each answers. */
export const questionTitles = {
  sizes: 'tables with their indexes and TOAST, hypertables with all chunks',
  indexes: 'indexes that are unused, duplicate, invalid or bloated, and foreign keys without one',
  bloat: 'tables with many dead rows, and when they were vacuumed',
  cache: 'how much of each table and its indexes is read from memory',
  slow: 'the statements that take the most time',
  activity: 'long transactions, and sessions that are idle in a transaction',
  locks: 'sessions that wait for a lock, below those that hold it',
  jobs: "TimescaleDB's jobs: last run, failures, next start",
  chunks: 'chunks of each hypertable: range, compressed, compressed in part',
  coverage: 'prices of each asset: first, last, gaps, stale ones',
} as const;

export type QuestionName = keyof typeof questionTitles;
