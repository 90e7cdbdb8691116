// Node loads this file when a program of `emulator exec` starts: connections to fal's host names go to the emulator.
// http, https, fetch, WebSocket and HTTP/2 all connect by this one method. TLS still checks fal's name.
"use strict";
const net = require("node:net");
const dns = require("node:dns");

const [port, ...domains] = (process.env.FAL_EMULATOR_EXEC || "").split(" ").filter(Boolean);
const isFals = (host) => {
  const name = String(host || "").toLowerCase().replace(/\.$/, "");
  return domains.some((domain) => name === domain || name.endsWith("." + domain));
};

if (port) {
  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = function (...args) {
    // Node itself passes one array, [options, callback], which is marked as normalized.
    const given = Array.isArray(args[0]) ? args[0] : args;
    const [first, host] = given;
    if (typeof first === "object" && first !== null && !first.path && isFals(first.host)) {
      // A copy, because TLS reads the name of the server in the original.
      const { lookup, ...options } = first;
      given[0] = { ...options, host: "127.0.0.1", port: Number(port) };
    } else if (typeof first !== "object" && typeof host === "string" && isFals(host)) {
      given[0] = Number(port);
      given[1] = "127.0.0.1";
    }
    return connect.apply(this, args);
  };
  // Programs that resolve a name themselves get an address of this machine, and never fal's.
  const lookup = dns.lookup;
  dns.lookup = function (name, ...rest) {
    return lookup.call(this, isFals(name) ? "127.0.0.1" : name, ...rest);
  };
}
