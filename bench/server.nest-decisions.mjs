/**
 * Nest on Express as `nest new` makes it, doing the work of a decision: a guard that knows the key by its hash, the
 * ValidationPipe with class-validator, the same engine with the same rules, and the event of the decision, serialized.
 */
import 'reflect-metadata';
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Body, Controller, HttpCode, Module, Post, UseGuards, ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { IsObject, IsOptional, IsString, MaxLength } from 'class-validator';
import { headers, ROOT } from './processes.mjs';

const { compile } = await import(join(ROOT, 'build/policy/engine/compile.js'));
const { decide } = await import(join(ROOT, 'build/policy/engine/decide.js'));
const snapshot = compile(JSON.parse(readFileSync(process.env.POLICIES, 'utf8')).policies);

const sha256 = (text) => createHash('sha256').update(text).digest();
const known = sha256(headers.Authorization.split(' ')[1]);

class KeyGuard {
  canActivate(context) {
    const [, key = ''] = (context.switchToHttp().getRequest().headers.authorization ?? '').split(' ');
    return timingSafeEqual(sha256(key), known);
  }
}

class Request {}
const text = (name, max, ...more) => {
  for (const check of [IsString(), MaxLength(max), ...more]) check(Request.prototype, name);
};
text('agent_id', 256);
text('action', 256);
text('agent_role', 256, IsOptional());
text('resource', 1024, IsOptional());
for (const name of ['environment', 'params']) {
  IsOptional()(Request.prototype, name);
  IsObject()(Request.prototype, name);
}

let events = [];
class PolicyController {
  evaluate(request) {
    const verdict = decide(snapshot, request);
    const decision = { decision_id: randomUUID(), ...verdict, policy_revision: 1 };
    const { agent_id, agent_role, action, resource } = request;
    const payload = {
      agent_id,
      agent_role,
      action,
      resource,
      result: verdict,
      decision_id: decision.decision_id,
    };
    events.push(
      JSON.stringify({
        id: randomUUID(),
        type: 'policy.rule_evaluated',
        timestamp: Date.now() / 1000,
        payload,
      }),
    );
    if (events.length === 500) events = [];
    return decision;
  }
}
Controller('api/policy')(PolicyController);
const { prototype } = PolicyController;
const descriptor = Object.getOwnPropertyDescriptor(prototype, 'evaluate');
Reflect.defineMetadata('design:paramtypes', [Request], prototype, 'evaluate');
Body()(prototype, 'evaluate', 0);
for (const decorate of [Post('evaluate'), HttpCode(200), UseGuards(KeyGuard)])
  decorate(prototype, 'evaluate', descriptor);

class AppModule {}
Module({ controllers: [PolicyController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: false });
app.useGlobalPipes(new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true }));
await app.listen(0, '127.0.0.1');
console.log((await app.getUrl()).replace('[::1]', '127.0.0.1'));
