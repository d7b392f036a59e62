// Makes what the stand-in is held to out of GitHub's own descriptions:
//
//   node describe.mjs            writes github.json and webhooks.json beside this file
//   node describe.mjs --check    fails when they are not what it would write
//   node describe.mjs --openapi FILE
//                                writes the same operations as an OpenAPI description with GitHub's
//                                examples, for a mock server
//
// Kept is what can be checked: parameters, bodies and answers of the operations below and of the
// events below, as JSON Schema, without texts and examples.
import { readFileSync, writeFileSync } from "node:fs";

const here = (name) => new URL(name, import.meta.url);
const read = (name) => JSON.parse(readFileSync(here(name), "utf8"));

const OPERATIONS = [
  "GET /rate_limit",
  "GET /user",
  "GET /user/emails",
  "GET /user/memberships/orgs",
  "GET /user/memberships/orgs/{org}",
  "GET /user/orgs",
  "GET /user/repos",
  "GET /orgs/{org}",
  "GET /orgs/{org}/members",
  "GET /orgs/{org}/members/{username}",
  "GET /orgs/{org}/repos",
  "GET /orgs/{org}/teams",
  "GET /orgs/{org}/teams/{team_slug}",
  "GET /orgs/{org}/teams/{team_slug}/members",
  "GET /repos/{owner}/{repo}",
  "GET /repos/{owner}/{repo}/branches",
  "GET /repos/{owner}/{repo}/branches/{branch}",
  "GET /repos/{owner}/{repo}/check-runs/{check_run_id}",
  "PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}",
  "POST /repos/{owner}/{repo}/check-runs",
  "GET /repos/{owner}/{repo}/collaborators",
  "GET /repos/{owner}/{repo}/collaborators/{username}",
  "GET /repos/{owner}/{repo}/collaborators/{username}/permission",
  "GET /repos/{owner}/{repo}/commits",
  "GET /repos/{owner}/{repo}/commits/{ref}",
  "GET /repos/{owner}/{repo}/commits/{ref}/status",
  "GET /repos/{owner}/{repo}/commits/{ref}/statuses",
  "GET /repos/{owner}/{repo}/compare/{basehead}",
  "POST /repos/{owner}/{repo}/forks",
  "GET /repos/{owner}/{repo}/git/matching-refs/{ref}",
  "GET /repos/{owner}/{repo}/git/ref/{ref}",
  "GET /repos/{owner}/{repo}/git/tags/{tag_sha}",
  "GET /repos/{owner}/{repo}/hooks",
  "POST /repos/{owner}/{repo}/hooks",
  "GET /repos/{owner}/{repo}/hooks/{hook_id}",
  "PATCH /repos/{owner}/{repo}/hooks/{hook_id}",
  "DELETE /repos/{owner}/{repo}/hooks/{hook_id}",
  "GET /repos/{owner}/{repo}/hooks/{hook_id}/config",
  "PATCH /repos/{owner}/{repo}/hooks/{hook_id}/config",
  "GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries",
  "GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}",
  "POST /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts",
  "POST /repos/{owner}/{repo}/hooks/{hook_id}/pings",
  "GET /repos/{owner}/{repo}/keys",
  "POST /repos/{owner}/{repo}/keys",
  "GET /repos/{owner}/{repo}/keys/{key_id}",
  "DELETE /repos/{owner}/{repo}/keys/{key_id}",
  "GET /repos/{owner}/{repo}/pulls",
  "POST /repos/{owner}/{repo}/pulls",
  "GET /repos/{owner}/{repo}/pulls/{pull_number}",
  "PATCH /repos/{owner}/{repo}/pulls/{pull_number}",
  "GET /repos/{owner}/{repo}/pulls/{pull_number}/files",
  "GET /repos/{owner}/{repo}/releases",
  "POST /repos/{owner}/{repo}/releases",
  "GET /repos/{owner}/{repo}/releases/{release_id}",
  "PATCH /repos/{owner}/{repo}/releases/{release_id}",
  "DELETE /repos/{owner}/{repo}/releases/{release_id}",
  "GET /repos/{owner}/{repo}/releases/tags/{tag}",
  "POST /repos/{owner}/{repo}/statuses/{sha}",
  "GET /repos/{owner}/{repo}/tags",
  "GET /repos/{owner}/{repo}/teams",
];

const EVENTS = [
  "create",
  "delete",
  "member",
  "meta",
  "ping",
  "public",
  "pull_request",
  "push",
  "release",
  "repository",
  "team_add",
];

// What a schema may say besides the keys that are treated below.
const KEPT = [
  "additionalProperties",
  "const",
  "enum",
  "format",
  "maximum",
  "maxItems",
  "maxLength",
  "maxProperties",
  "minimum",
  "minItems",
  "minLength",
  "minProperties",
  "pattern",
  "required",
  "type",
  "uniqueItems",
];
const LISTS = ["allOf", "anyOf", "oneOf"];
const MAPS = ["properties", "patternProperties"];

/** JSON Schema of an OpenAPI 3.0 schema (or of JSON Schema); `seen` gets the names it refers to. */
function schema(source, seen) {
  if (typeof source === "boolean") return source;
  if (source.$ref) {
    const name = source.$ref.split("/").pop();
    seen.add(name);
    return { $ref: `#/schemas/${name}` };
  }
  const made = {};
  for (const key of KEPT) {
    if (source[key] === undefined) continue;
    const nested = key === "additionalProperties" && typeof source[key] === "object";
    made[key] = nested ? schema(source[key], seen) : source[key];
  }
  for (const key of LISTS) {
    if (source[key]) made[key] = source[key].map((one) => schema(one, seen));
  }
  for (const key of MAPS) {
    if (source[key]) {
      const entries = Object.entries(source[key]);
      made[key] = Object.fromEntries(entries.map(([name, one]) => [name, schema(one, seen)]));
    }
  }
  if (source.items) made.items = schema(source.items, seen);
  if (source.not) made.not = schema(source.not, seen);
  if (!source.nullable) return made;
  if (typeof made.type !== "string") return { anyOf: [{ type: "null" }, made] };
  made.type = [made.type, "null"];
  if (made.enum && !made.enum.includes(null)) made.enum = [...made.enum, null];
  return made;
}

/** The schemas that are referred to, and those that these refer to. */
function reachable(seen, all) {
  const made = {};
  for (const name of seen) made[name] = schema(all[name], seen);
  return sorted(made);
}

/** Follows a reference to a parameter, a body or an answer. */
function resolver(openapi) {
  return (one) => {
    if (!one.$ref) return one;
    const [kind, name] = one.$ref.split("/").slice(-2);
    return openapi.components[kind][name];
  };
}

function sorted(object) {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function github(openapi) {
  const seen = new Set(["basic-error", "validation-error"]);
  const resolved = resolver(openapi);
  const content = (one) => one?.["application/json"]?.schema;
  const operations = {};
  for (const operation of OPERATIONS) {
    const [method, path] = operation.split(" ");
    const source = openapi.paths[path]?.[method.toLowerCase()];
    if (!source) throw new Error(`GitHub describes no ${operation}`);
    const made = { path: {}, query: {}, answers: {} };
    const shared = openapi.paths[path].parameters ?? [];
    for (const parameter of [...shared, ...(source.parameters ?? [])].map(resolved)) {
      if (parameter.in !== "path" && parameter.in !== "query") continue;
      made[parameter.in][parameter.name] = {
        required: parameter.required ? true : undefined,
        long: parameter["x-multi-segment"] ? true : undefined,
        schema: schema(parameter.schema, seen),
      };
    }
    const body = content(source.requestBody && resolved(source.requestBody).content);
    if (body) {
      made.body = {
        required: resolved(source.requestBody).required ? true : undefined,
        schema: schema(body, seen),
      };
    }
    for (const [status, answer] of Object.entries(source.responses)) {
      const of = content(resolved(answer).content);
      made.answers[status] = of ? schema(of, seen) : null;
    }
    operations[operation] = made;
  }
  return { source: `@octokit/openapi ${version("openapi")} (MIT)`, operations, schemas: reachable(seen, openapi.components.schemas) };
}

function webhooks(source) {
  const seen = new Set();
  const events = {};
  for (const event of EVENTS) {
    const of = Object.keys(source.definitions).filter((name) => name.startsWith(`${event}$`));
    if (!of.length) throw new Error(`GitHub describes no event ${event}`);
    events[event] = of.map((name) => name.split("$")[1]).sort();
    for (const name of of) seen.add(name);
  }
  return { source: `@octokit/webhooks-schemas ${version("webhooks-schemas")} (MIT)`, events, schemas: reachable(seen, source.definitions) };
}

/** The operations as GitHub wrote them, with JSON of the media type that clients ask for. */
function openapi(source) {
  const paths = {};
  for (const operation of OPERATIONS) {
    const [method, path] = operation.split(" ");
    paths[path] ??= { parameters: source.paths[path].parameters };
    paths[path][method.toLowerCase()] = source.paths[path][method.toLowerCase()];
  }
  // OpenAPI has no parameter with a slash in it: each that GitHub marks so gets a twin of two.
  for (const [path, item] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const long = operation?.parameters?.map(resolver(source)).find((one) => one["x-multi-segment"]);
      if (!long) continue;
      const twin = path.replace(`{${long.name}}`, `{${long.name}}/{${long.name}_end}`);
      const end = { name: `${long.name}_end`, in: "path", required: true, schema: long.schema };
      const parameters = [...operation.parameters, end];
      const operationId = `${operation.operationId}-long`;
      paths[twin] = { ...paths[twin], [method]: { ...operation, operationId, parameters } };
    }
  }
  const made = { openapi: source.openapi, info: source.info, paths, components: {} };
  const pending = [made.paths];
  while (pending.length) {
    const value = pending.pop();
    if (!value || typeof value !== "object") continue;
    const [, , kind, name] = value.$ref?.split?.("/") ?? [];
    if (kind && !made.components[kind]?.[name]) {
      const found = source.components[kind][name];
      made.components[kind] = { ...made.components[kind], [name]: found };
      pending.push(found);
    }
    const json = value.content?.["application/json"];
    if (json) value.content["application/vnd.github+json"] = json;
    pending.push(...Object.values(value));
  }
  return made;
}

function version(name) {
  return read(`node_modules/@octokit/${name}/package.json`).version;
}

const described = read("node_modules/@octokit/openapi/generated/api.github.com.json");
const [flag, file] = process.argv.slice(2);
if (flag === "--openapi") {
  writeFileSync(file, JSON.stringify(openapi(described)));
} else {
  const made = {
    "github.json": github(described),
    "webhooks.json": webhooks(read("node_modules/@octokit/webhooks-schemas/schema.json")),
  };
  for (const [name, content] of Object.entries(made)) {
    const text = `${lines(content)}\n`;
    if (flag !== "--check") writeFileSync(here(name), text);
    else if (readFileSync(here(name), "utf8") !== text) {
      console.error(`${name} is not what describe.mjs makes of GitHub's description: run it.`);
      process.exitCode = 1;
    }
  }
}

/** One line for each operation and schema, so that a change of one is a change of one line. */
function lines(content) {
  const parts = Object.entries(content).map(([key, value]) => {
    if (typeof value === "string") return `${JSON.stringify(key)}: ${JSON.stringify(value)}`;
    const entries = Object.entries(value).map(
      ([name, one]) => `${JSON.stringify(name)}: ${JSON.stringify(one)}`,
    );
    return `${JSON.stringify(key)}: {\n${entries.join(",\n")}\n}`;
  });
  return `{\n${parts.join(",\n")}\n}`;
}
