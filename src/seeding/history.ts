import type { Session } from '../database/connection.ts';
import type { Price } from '../market/prices.ts';
import { readRetention } from '../prices/presence.ts';
import { withPriceSink } from '../prices/sink.ts';
import { dayMs } from '../runtime/days.ts';
import type { HistoricPrice } from './seeder.ts';

/** Prices in one transaction. The embedded engine buffers a whole COPY in memory. */
const pieceSize = 20_000;

/** The first moment of a history of `historyDays` days before `now`, without days that the retention policy would drop. */
export async function historyStart(
  { sql }: Session,
  { historyDays, now }: { readonly historyDays: number; readonly now: Date },
): Promise<Date> {
  const kept = await readRetention(sql);
  const wanted = now.getTime() - historyDays * dayMs;
  return new Date(kept === undefined ? wanted : Math.max(wanted, kept + dayMs));
}

/** Writes prices through the sink of imports, and reports the rows after each piece. Returns how many are new. */
export async function writeHistory(
  session: Session,
  prices: Iterable<HistoricPrice>,
  {
    source,
    onPiece,
    ...wait
  }: {
    readonly source: string;
    readonly lockTimeoutMs: number | undefined;
    /** Prices that are written or were there before. */
    readonly onPiece: (prices: number) => void;
  },
): Promise<number> {
  const { rows } = await withPriceSink(session, wait, async (sink) => {
    let done = 0;
    let piece: Price[] = [];
    const flush = async () => {
      await sink.write(piece, { source });
      done += piece.length;
      onPiece(done);
      piece = [];
    };
    for (const price of prices) {
      piece.push(price);
      if (piece.length === pieceSize) await flush();
    }
    if (piece.length > 0) await flush();
  });
  return rows;
}
