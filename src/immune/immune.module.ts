import { Module } from '@nestjs/common';
import { ImmuneController } from './immune.controller.js';
import { ImmuneRetention } from './immune.retention.js';
import { ImmuneService } from './immune.service.js';

@Module({
  controllers: [ImmuneController],
  providers: [ImmuneService, ImmuneRetention],
  exports: [ImmuneService],
})
export class ImmuneModule {}
