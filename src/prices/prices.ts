/** What the library exports as `prices`: the commands of `cryptosense-db prices`. */

export type { Misfit } from './fit.ts';
export { type ImportResult, importPrices } from './import.ts';
export type { ImportedAsset, ImportedFiles, ImportedMonth } from './planned-import.ts';
export type { ImportOptions, PriceSourceName } from './request.ts';
export { type DailyCandle, type ShownCandles, type ShowOptions, show } from './show.ts';
export {
  type AssetStatus,
  type MonthStatus,
  type PriceStatus,
  type StatusOptions,
  status,
} from './status.ts';
