import { type CatalogueAsset, catalogue } from './catalogue.ts';

/** Appendix A of the specification counts fifty assets beside 10,000 users. */
const usersOfLoadSet = 10_000;
const usersOfScale = 3;

/** The assets at a scale: those of the catalogue, and from 10,000 users on thirty more, which have prices and no holdings. */
export function assetsAt(scale: number): readonly CatalogueAsset[] {
  return scale * usersOfScale < usersOfLoadSet ? catalogue : [...catalogue, ...furtherAssets];
}

const further = (
  ...[symbol, coingeckoId, name, priceUsd, supply, volume24hUsd, dailyVolatility]: readonly [
    symbol: string,
    coingeckoId: string,
    name: string,
    priceUsd: number,
    supply: number,
    volume24hUsd: number,
    dailyVolatility: number,
  ]
): CatalogueAsset => ({
  ...{ symbol, coingeckoId, name, priceUsd, supply, volume24hUsd, dailyVolatility },
  decimals: 2,
});

const furtherAssets: readonly CatalogueAsset[] = [
  further('TRX', 'tron', 'TRON', 0.105, 88_000_000_000, 260_000_000, 0.025),
  further('BCH', 'bitcoin-cash', 'Bitcoin Cash', 245, 19_600_000, 240_000_000, 0.035),
  further('SUI', 'sui', 'Sui', 1.2, 1_100_000_000, 210_000_000, 0.05),
  further('LEO', 'leo-token', 'LEO Token', 4, 926_000_000, 3_000_000, 0.012),
  further('HBAR', 'hedera-hashgraph', 'Hedera', 0.078, 33_600_000_000, 70_000_000, 0.04),
  further('XMR', 'monero', 'Monero', 165, 18_300_000, 80_000_000, 0.028),
  further('TON', 'the-open-network', 'Toncoin', 2.3, 3_450_000_000, 40_000_000, 0.035),
  further('MNT', 'mantle', 'Mantle', 0.55, 3_100_000_000, 60_000_000, 0.04),
  further('CRO', 'crypto-com-chain', 'Cronos', 0.095, 25_000_000_000, 25_000_000, 0.032),
  further('DAI', 'dai', 'Dai', 1, 5_300_000_000, 180_000_000, 0.0004),
  further('ZEC', 'zcash', 'Zcash', 25, 16_300_000, 60_000_000, 0.038),
  further('TAO', 'bittensor', 'Bittensor', 260, 6_100_000, 25_000_000, 0.055),
  further('OKB', 'okb', 'OKB', 55, 60_000_000, 8_000_000, 0.025),
  further('BGB', 'bitget-token', 'Bitget Token', 0.6, 1_400_000_000, 20_000_000, 0.028),
  further('PEPE', 'pepe', 'Pepe', 0.0000013, 420_700_000_000_000, 120_000_000, 0.06),
  further('ETC', 'ethereum-classic', 'Ethereum Classic', 22, 144_000_000, 250_000_000, 0.035),
  further('ONDO', 'ondo-finance', 'Ondo', 0.25, 1_400_000_000, 30_000_000, 0.05),
  further(
    'POL',
    'polygon-ecosystem-token',
    'POL (ex-MATIC)',
    0.85,
    9_300_000_000,
    350_000_000,
    0.04,
  ),
  further('WLD', 'worldcoin-wld', 'Worldcoin', 2.4, 110_000_000, 90_000_000, 0.055),
  further('GT', 'gatechain-token', 'Gate', 5, 95_000_000, 5_000_000, 0.022),
  further('KCS', 'kucoin-shares', 'KuCoin', 9.5, 96_000_000, 2_000_000, 0.022),
  further('ARB', 'arbitrum', 'Arbitrum', 1.2, 1_270_000_000, 400_000_000, 0.045),
  further('ICP', 'internet-computer', 'Internet Computer', 9.8, 454_000_000, 110_000_000, 0.045),
  further('ALGO', 'algorand', 'Algorand', 0.19, 7_900_000_000, 50_000_000, 0.035),
  further('VET', 'vechain', 'VeChain', 0.032, 72_700_000_000, 60_000_000, 0.038),
  further('KAS', 'kaspa', 'Kaspa', 0.12, 22_000_000_000, 40_000_000, 0.05),
  further('FLR', 'flare-networks', 'Flare', 0.02, 33_000_000_000, 10_000_000, 0.035),
  further('RENDER', 'render-token', 'Render', 4.3, 373_000_000, 110_000_000, 0.05),
  further('QNT', 'quant-network', 'Quant', 118, 14_500_000, 20_000_000, 0.03),
  further('SEI', 'sei-network', 'Sei', 0.35, 2_300_000_000, 90_000_000, 0.055),
];
