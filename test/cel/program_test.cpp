#include "fixture.hpp"

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::cel;

namespace {

const char* const kValues =
#include "values.inc"
    ;
const char* const kErrors =
#include "errors.inc"
    ;

// The rows of a table: every line that is no remark.
std::vector<Document> rows_of(std::string_view table) {
  std::vector<Document> rows;
  for (std::size_t at = 0; at < table.size();) {
    std::size_t end = std::min(table.find('\n', at), table.size());
    if (table[at] == '[') rows.push_back(Document::parse(table.substr(at, end - at)));
    at = end + 1;
  }
  return rows;
}

Evaluation run(const std::string& expression, const Environment& environment, const Activation& values, std::uint64_t limit = kPerCallLimit) {
  auto program = compile(expression, environment);
  if (!program) FAIL(expression << ": " << program.status().message());
  return (*program)->evaluate(values, limit);
}

std::string repeated(const char* text, int n) {
  std::string out;
  while (n-- > 0) out += text;
  return out;
}

}  // namespace

TEST_CASE("cel: values, run-time errors, types and costs") {
  Fixture f;
  for (const auto& row : rows_of(kValues)) {
    const std::string expression = row[0];
    INFO(expression);
    auto program = compile(expression, f.environment);
    if (!program) {
      FAIL_CHECK(program.status().message());
      continue;
    }
    CHECK(to_string((*program)->result_type()) == row[1].get<std::string>());
    CHECK((*program)->estimated_cost() == row[4].get<std::uint64_t>());
    auto got = (*program)->evaluate(f.values);
    CHECK((got.value.is_error() ? "!" + std::string(got.value.text()) : "=" + show(got.value)) == row[2].get<std::string>());
    CHECK(got.cost == row[3].get<std::uint64_t>());
    CHECK_FALSE(got.cost_exceeded);
  }
}

TEST_CASE("cel: what does not compile") {
  Fixture f;
  for (const auto& row : rows_of(kErrors)) {
    INFO(row[0]);
    auto program = compile(row[0].get<std::string>(), f.environment);
    CHECK((program ? "compiles" : program.status().message()) == row[1].get<std::string>());
  }
}

TEST_CASE("cel: an evaluation stops where its cost is spent") {
  Fixture f;
  const std::string expression = "[1, 2, 3].all(x, [1, 2, 3].all(y, x * y < 10))";
  auto whole = run(expression, f.environment, f.values);
  CHECK(whole.value.is_true());
  auto enough = run(expression, f.environment, f.values, whole.cost);
  CHECK(enough.value.is_true());
  for (std::uint64_t limit : {std::uint64_t{0}, whole.cost / 2, whole.cost - 1}) {
    auto stopped = run(expression, f.environment, f.values, limit);
    CHECK(stopped.cost_exceeded);
    CHECK(stopped.value.text() == "operation cancelled: actual cost limit exceeded");
  }
}

TEST_CASE("cel: hostile expressions are refused or bounded") {
  Fixture f;
  // Nesting beyond the bound is an error, not the end of the stack.
  for (const char* open : {"(", "[", "{1:", "size(", "true ? 1 : ", "true && ", "1 + ", "self.spec.", "[1].map(x, "}) {
    INFO(open);
    auto program = compile(repeated(open, 20000) + "1", f.environment);
    CHECK_FALSE(program);
  }
  CHECK(run(repeated("!", 20001) + "true", f.environment, f.values).value.is_false());  // signs in a row are no nesting
  for (const auto& text : {repeated(".a", 100000), repeated("[0]", 50000), repeated("1+", 60000) + "1", std::string(300000, 'a'),
                           "\"" + std::string(200000, 'a'), std::string(100, '\0'), std::string("\"\xff\xfe\"")})
    (void)compile(text, f.environment);
  // Doubling a text reaches the limit long before it fills the memory.
  std::string doubling = "'" + std::string(1000, 'x') + "'";
  for (int i = 0; i < 30; ++i) doubling = "[" + doubling + "].map(v" + std::to_string(i) + ", v" + std::to_string(i) + " + v" + std::to_string(i) + ")[0]";
  auto got = run(doubling, f.environment, f.values);
  CHECK(got.cost_exceeded);
}

TEST_CASE("cel: names of properties are escaped") {
  const char* const kNames[][2] = {{"namespace", "__namespace__"}, {"a-b", "a__dash__b"}, {"a.b", "a__dot__b"}, {"a/b", "a__slash__b"},
                                   {"x__y", "x__underscores__y"}, {"int", "int"}, {"in", "__in__"}, {"plain", "plain"}};
  for (const auto& row : kNames) {
    Schemas schemas;
    Document schema = {{"type", "object"}, {"properties", {{row[0], {{"type", "string"}}}}}};
    const Schema* type = schemas.from_openapi(schema, false, "selfType");
    Environment environment;
    environment.declare("self", type->type, type);
    Document self = {{row[0], "there"}};
    Variables values;
    values.set("self", Value::of(self, type));
    INFO(row[0]);
    CHECK(run(std::string("self.") + row[1] + " == 'there'", environment, values).value.is_true());
  }
}

TEST_CASE("cel: who may do what is asked of the hook") {
  std::vector<AuthorizerQuery> asked;
  AuthorizerHook hook = [&](const AuthorizerQuery& query) {
    asked.push_back(query);
    AuthorizerAnswer answer;
    answer.allowed = query.verb == "get";
    answer.reason = "because";
    if (query.verb == "break") answer.error = "broken";
    return answer;
  };
  Environment environment;
  environment.declare("authorizer", &types::authorizer);
  environment.declare("request", &types::dyn);
  Variables values;
  values.set("authorizer", authorizer_value(&hook));

  CHECK(run("authorizer.group('apps').resource('deployments').subresource('scale').namespace('ns').name('n').check('get').allowed()", environment, values).value.is_true());
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].is_resource);
  CHECK(asked[0].group == "apps");
  CHECK(asked[0].resource == "deployments");
  CHECK(asked[0].subresource == "scale");
  CHECK(asked[0].object_namespace == "ns");
  CHECK(asked[0].name == "n");

  CHECK(run("authorizer.path('/healthz').check('post').allowed()", environment, values).value.is_false());
  CHECK(asked[1].path == "/healthz");
  CHECK_FALSE(asked[1].is_resource);
  CHECK(run("authorizer.serviceAccount('ns', 'sa').path('/x').check('get').reason()", environment, values).value.text() == "because");
  CHECK(asked[2].service_account_namespace == "ns");
  CHECK(asked[2].service_account == "sa");
  CHECK(run("authorizer.path('/x').check('break').errored()", environment, values).value.is_true());
  CHECK(run("authorizer.path('/x').check('break').error()", environment, values).value.text() == "broken");
  CHECK(run("authorizer.group('').resource('pods').fieldSelector('spec.nodeName=x').labelSelector('a=b').check('list').allowed()", environment, values).value.is_false());
  CHECK(asked.back().field_selector == "spec.nodeName=x");
  CHECK(asked.back().label_selector == "a=b");
}

TEST_CASE("cel: values as JSON") {
  Fixture f;
  Document out;
  std::string problem;
  CHECK(run("{'a': dyn([dyn(1), dyn(2u), dyn(1.5), dyn(null), dyn(true), dyn('x')]), 'b': dyn({'c': b'hi'})}", f.environment, f.values).value.to_document(out, problem));
  CHECK(out == Document::parse(R"({"a":[1,2,1.5,null,true,"x"],"b":{"c":"aGk="}})"));
  CHECK(run("object", f.environment, f.values).value.to_document(out, problem));
  CHECK(out == f.object);
  CHECK_FALSE(run("{'t': type(1)}", f.environment, f.values).value.to_document(out, problem));
}
