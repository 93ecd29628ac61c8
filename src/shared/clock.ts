/** Unix seconds with three decimals, the form of every time in the API. */
export function nowSeconds(): number {
  return Date.now() / 1000;
}

export const DAY_SECONDS = 86_400;

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
