/** Which addresses are private: an `http` step must not reach them, unless the settings allow it. */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Azure gives every machine this address for services of its host, though it is in a public range. */
const HOST_SERVICES = new Set(['168.63.129.16', '::ffff:168.63.129.16']);
const DOTTED_MAPPED = /^::ffff:[\d.]+$/i;
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/** Returns false only for an address that is known to be public. */
export function isPrivate(address: string): boolean {
  // The system may read other spellings in its own way, and a zone id names a network link of this machine.
  if (isIP(address) === 0 || address.includes('%')) return true;
  const parsed = ipaddr.parse(address);
  if (HOST_SERVICES.has(address.toLowerCase())) return true;
  if (parsed instanceof ipaddr.IPv4) return parsed.range() !== 'unicast';
  if (parsed.isIPv4MappedAddress()) {
    // The resolver writes these addresses in this form. In a URL they are hexadecimal and only hide the IPv4 address.
    return !DOTTED_MAPPED.test(address) || parsed.toIPv4Address().range() !== 'unicast';
  }
  return parsed.range() !== 'unicast' || !parsed.match(GLOBAL_UNICAST);
}
