// Figures as RESULTS.md shows them.

/** @param share 0.5 is the median */
export const quantile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
};

export const summary = (values: readonly number[], digits = 1): string =>
  `p50 ${quantile(values, 0.5).toFixed(digits)}, p90 ${quantile(values, 0.9).toFixed(digits)}, p99 ${quantile(values, 0.99).toFixed(digits)}, worst ${Math.max(...values).toFixed(digits)} (n ${values.length})`;
