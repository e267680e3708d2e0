import { createHash } from 'node:crypto';

/** What has flowed through. */
export interface Measured {
  readonly bytes: number;
  /** SHA-256, in hexadecimal. */
  readonly sha256: string;
}

export interface Meter {
  /** Passes pieces on, and measures them. */
  readonly through: (pieces: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array>;
  /** Of all pieces; call it once, at the end. */
  readonly measured: () => Measured;
}

export function createMeter(onBytes?: (bytes: number) => void): Meter {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    through: async function* (pieces) {
      for await (const piece of pieces) {
        hash.update(piece);
        bytes += piece.length;
        onBytes?.(bytes);
        yield piece;
      }
    },
    measured: () => ({ bytes, sha256: hash.digest('hex') }),
  };
}
