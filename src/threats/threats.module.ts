import { Module } from '@nestjs/common';
import { ThreatsController } from './threats.controller.js';
import { ThreatsRetention } from './threats.retention.js';
import { ThreatsService } from './threats.service.js';

@Module({ controllers: [ThreatsController], providers: [ThreatsService, ThreatsRetention] })
export class ThreatsModule {}
