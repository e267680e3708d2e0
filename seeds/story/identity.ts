/**
 * The tables whose ids are the same in every run: 5eed, the table, then the row's number. Version and
 * variant are those of a random UUID, which validators accept.
 */
const tables = {
  users: '01',
  subscriptions: '02',
  portfolios: '03',
  exchange_connections: '04',
  holdings: '05',
  transactions: '06',
  assets: '07',
  risk_scores: '08',
  predictions: '09',
  alerts: '0a',
  alert_history: '0b',
} as const;

export type SeededTable = keyof typeof tables;

/** `5eed0100-0000-4000-8000-00000000002a` is user 42. */
export function seedId(table: SeededTable, number: number): string {
  return `${prefixOf(table)}-${number.toString(16).padStart(12, '0')}`;
}

/** The first and the last id of the seeded rows of this table. */
export function seedIds(table: SeededTable): { readonly from: string; readonly to: string } {
  const prefix = prefixOf(table);
  return { from: `${prefix}-000000000000`, to: `${prefix}-ffffffffffff` };
}

function prefixOf(table: SeededTable): string {
  return `5eed${tables[table]}00-0000-4000-8000`;
}
