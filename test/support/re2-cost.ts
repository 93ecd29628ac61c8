/** Counts the work that patterns are given: the size of a pattern times the length of the text. */
import { RE2JS } from 're2js';

type Test = (this: RE2JS, text: string) => boolean;

export interface CostCounter {
  count: number;
  stop(): void;
}

export function countCost(): CostCounter {
  const test = Reflect.get<object, string>(RE2JS.prototype, 'test') as Test;
  const spy = jest.spyOn(RE2JS.prototype, 'test');
  const counter: CostCounter = { count: 0, stop: () => spy.mockRestore() };
  spy.mockImplementation(function (this: RE2JS, text) {
    counter.count += this.programSize() * text.length;
    return test.call(this, text as string);
  });
  return counter;
}
