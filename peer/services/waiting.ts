// The service of roles that are granted and moved already, but have nothing to do yet.
import { type Service, unknownMethod } from './service.ts';

export const service: Service = {
  start() {},
  renew() {},
  stop() {},
  handle(method) {
    throw unknownMethod(method);
  },
  health: () => ({ healthy: true }),
};
