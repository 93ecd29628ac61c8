import { Body } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { Text } from '../shared/fields.js';
import { InputGuard } from './input.guard.js';

class Input {
  @Text({ max: 8 })
  name!: string;
}

class SomeController {
  make(this: void, @Body() _input: Input): void {}
}

const contextOf = (handler: (input: Input) => void, body: unknown): ExecutionContextHost =>
  new ExecutionContextHost(
    [{ method: 'POST', url: '/', headers: {}, params: {}, body }],
    SomeController,
    handler,
  );

describe('the input guard', () => {
  const guard = new InputGuard(() => true);

  it('checks what the parameters of the handler declare', () => {
    expect(guard.canActivate(contextOf(SomeController.prototype.make, { name: 'x' }))).toBe(true);
    expect(() => guard.canActivate(contextOf(SomeController.prototype.make, { name: 7 }))).toThrow(/a fault/);
  });

  it('refuses every request to a handler whose parameters have no types', () => {
    const wrapped = (input: Input): void => SomeController.prototype.make(input);
    expect(() => guard.canActivate(contextOf(wrapped, { name: 7 }))).toThrow(/this is a bug/);
  });
});
