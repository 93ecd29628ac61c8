/** Compared with a trivial route: Nest on Express as `nest new` makes it, with one route. */
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

class HealthController {
  live() {
    return { status: 'alive' };
  }
}
Controller()(HealthController);
const { prototype } = HealthController;
Get('livez')(prototype, 'live', Object.getOwnPropertyDescriptor(prototype, 'live'));

class AppModule {}
Module({ controllers: [HealthController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: false });
await app.listen(0, '127.0.0.1');
console.log((await app.getUrl()).replace('[::1]', '127.0.0.1'));
