import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import { sqlErrorCodes, sqlState } from './sql-errors.ts';
import {
  type Row,
  runTyped,
  type StreamedQuery,
  streamTyped,
  type TypedClient,
  type TypedResult,
} from './typed-query.ts';

/** Runs the queries of one caller until it is released. */
export interface QueryRunner {
  readonly run: (query: string, parameters: readonly unknown[]) => Promise<TypedResult>;
  readonly stream: (query: StreamedQuery) => AsyncGenerator<readonly Row[]>;
  readonly release: () => void;
}

/** What a Kysely runs its queries on. */
export interface Lending {
  readonly lease: () => Promise<QueryRunner>;
  readonly end: () => Promise<void>;
}

export interface Lent {
  readonly client: TypedClient;
  readonly release: () => void;
}

/** Runs queries on one connection. */
export function directly({ client, release }: Lent): QueryRunner {
  return {
    run: (query, parameters) => runTyped(client, query, parameters),
    stream: (query) => streamTyped(client, query),
    release,
  };
}

/** The same runner; a write rejects with `read-only`. */
export function withoutWrites({ run, stream, release }: QueryRunner): QueryRunner {
  return {
    run: (query, parameters) =>
      run(query, parameters).catch((error: unknown) => {
        throw explainWrite(error);
      }),
    stream: async function* streamWithoutWrites(query) {
      try {
        yield* stream(query);
      } catch (error) {
        throw explainWrite(error);
      }
    },
    release,
  };
}

function explainWrite(error: unknown): unknown {
  if (sqlState(error) !== sqlErrorCodes.readOnlyTransaction) return error;
  return new CryptosenseDbError(
    'read-only',
    {
      message: "createDatabase({ role: 'replica' }) is for reading",
      evidence: [messageOf(error)],
      hint: "write through a createDatabase() without role: 'replica'",
    },
    { cause: error },
  );
}
