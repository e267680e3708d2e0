/** What the specification promises of a query. */
export interface QueryTarget {
  /** As the specification names it. */
  readonly title: string;
  /** Section 6.1. */
  readonly targetMs: number;
  /** The example of section 6.1. */
  readonly example: string;
  /** Appendix A; null where it has no row. */
  readonly estimate: {
    readonly title: string;
    readonly rowsScanned: number;
    readonly p50Ms: number;
    readonly p95Ms: number;
  } | null;
}

/** Section 6.1, Appendix A, and the queries of section 6.3, which have the targets of their rows in section 6.1. */
export const queryTargets = {
  'user-by-email': {
    title: 'User lookup by email',
    targetMs: 10,
    example: 'Login',
    estimate: { title: 'Get user by email', rowsScanned: 1, p50Ms: 2, p95Ms: 8 },
  },
  'portfolio-list': {
    title: 'Portfolio list by user',
    targetMs: 20,
    example: 'Dashboard load',
    estimate: { title: 'List portfolios (1 user)', rowsScanned: 5, p50Ms: 5, p95Ms: 15 },
  },
  'portfolio-values': {
    title: 'Portfolios of a user with their values (6.3)',
    targetMs: 20,
    example: 'Dashboard load',
    estimate: null,
  },
  holdings: {
    title: 'Holdings for portfolio',
    targetMs: 30,
    example: 'Portfolio detail',
    estimate: { title: 'List holdings (1 portfolio)', rowsScanned: 20, p50Ms: 10, p95Ms: 30 },
  },
  'latest-prices': {
    title: 'Latest prices (10 assets)',
    targetMs: 50,
    example: 'Dashboard prices',
    estimate: { title: 'Get prices (10 assets)', rowsScanned: 10, p50Ms: 20, p95Ms: 60 },
  },
  'daily-closes': {
    title: 'Closes of today, 10 assets (6.3)',
    targetMs: 50,
    example: 'Dashboard prices',
    estimate: null,
  },
  'price-history': {
    title: 'Price history (30 days)',
    targetMs: 100,
    example: 'Chart rendering',
    estimate: { title: 'Price history (1 asset, 30d)', rowsScanned: 1_440, p50Ms: 50, p95Ms: 150 },
  },
  prediction: {
    title: 'Prediction lookup',
    targetMs: 50,
    example: 'Prediction display',
    estimate: null,
  },
  'risk-score': {
    title: 'Risk score calculation',
    targetMs: 200,
    example: 'Real-time risk',
    estimate: { title: 'Calculate risk score', rowsScanned: 100, p50Ms: 100, p95Ms: 300 },
  },
} as const satisfies Readonly<Record<string, QueryTarget>>;

export type QueryName = keyof typeof queryTargets;
