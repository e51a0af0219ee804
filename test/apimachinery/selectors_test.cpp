#include <onebin/apimachinery/selectors.hpp>

#include <catch2/catch.hpp>

using namespace onebin;
using namespace onebin::apimachinery;
using Labels = std::map<std::string, std::string>;

namespace {
std::string parsed(std::string_view text) {
  auto s = LabelSelector::parse(text);
  return s ? s->to_string() : "error: " + s.status().message();
}
bool selects(std::string_view text, const Labels& labels) {
  auto s = LabelSelector::parse(text);
  REQUIRE(s);
  return s->matches(labels);
}
}  // namespace

TEST_CASE("label selectors are written back in canonical form") {
  CHECK(parsed("") == "");
  CHECK(parsed("a=b") == "a=b");
  CHECK(parsed(" z != 1 , a == b ") == "a==b,z!=1");
  CHECK(parsed("env in (prod, dev , prod)") == "env in (dev,prod)");
  CHECK(parsed("env notin ()") == "env notin ()");
  CHECK(parsed("env in (,)") == "env in ()");
  CHECK(parsed("env in (x,,y)") == "env in (,x,y)");
  CHECK(parsed("!gone,there") == "!gone,there");
  CHECK(parsed("size>10,size<20") == "size>10,size<20");
  CHECK(parsed("example.com/tier=") == "example.com/tier=");
  CHECK(parsed("in=notin") == "in=notin");  // keywords are names where a name is expected
  CHECK(parsed("in in (in, notin)") == "in in (in,notin)");
  CHECK(parsed("a\n,\tb") == "a,b");
}

TEST_CASE("label selectors that cannot be parsed say why") {
  CHECK(parsed("a b") == "error: unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
  CHECK(parsed(",a") == "error: found ',', expected: !, identifier, or 'end of string'");
  CHECK(parsed("a,") == "error: found '', expected: identifier after ','");
  CHECK(parsed("a in x") == "error: unable to parse requirement: found 'x' expected: '('");
  CHECK(parsed("a in (x") == "error: unable to parse requirement: found '', expected: ',' or ')'");
  CHECK(parsed("a=b=c") == "error: found '=', expected: ',' or 'end of string'");
  CHECK(parsed("!a=b") == "error: found '=', expected: ',' or 'end of string'");
  CHECK(parsed("!") == "error: unable to parse requirement: found '', expected: identifier");
  CHECK(parsed("a>x") == "error: unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer");
  CHECK(parsed("-a").rfind("error: unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of", 0) == 0);
  CHECK(parsed("a=b!").rfind("error: found '!'", 0) == 0);
  CHECK(parsed("a=-").rfind("error: unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label must be an empty string", 0) == 0);
}

TEST_CASE("label selectors select") {
  Labels labels{{"app", "web"}, {"tier", ""}, {"size", "12"}};
  CHECK(selects("", labels));
  CHECK(selects("app=web", labels));
  CHECK(selects("app", labels));
  CHECK_FALSE(selects("!app", labels));
  CHECK(selects("!none", labels));
  CHECK(selects("tier=", labels));
  CHECK_FALSE(selects("none=", labels));
  CHECK(selects("none!=x", labels));
  CHECK(selects("none notin (x)", labels));
  CHECK_FALSE(selects("app notin (web,db)", labels));
  CHECK(selects("size>11,size<13", labels));
  CHECK_FALSE(selects("size>12", labels));
  CHECK_FALSE(selects("app>1", labels));
  CHECK(LabelSelector::parse("app in (web)")->matches(Document{{"app", "web"}}));
  CHECK_FALSE(LabelSelector::parse("app")->matches(Document()));
  CHECK_FALSE(LabelSelector::nothing().matches(labels));
}

TEST_CASE("exact matches are told") {
  auto s = LabelSelector::parse("a=1,b in (x),c in (x,y),d");
  REQUIRE(s);
  CHECK(s->requires_exact_match("a") == "1");
  CHECK(s->requires_exact_match("b") == "x");
  CHECK_FALSE(s->requires_exact_match("c"));
  CHECK_FALSE(s->requires_exact_match("d"));
}

TEST_CASE("metav1.LabelSelector becomes a selector") {
  auto s = LabelSelector::from_document(Document::parse(
      R"({"matchLabels":{"app":"web"},"matchExpressions":[{"key":"tier","operator":"In","values":["b","a"]},{"key":"x","operator":"DoesNotExist"}]})"));
  REQUIRE(s);
  CHECK(s->to_string() == "app=web,tier in (a,b),!x");
  CHECK(LabelSelector::from_document(nullptr)->selects_nothing());
  CHECK(LabelSelector::from_document(Document::object())->empty());
  auto bad = LabelSelector::from_document(Document::parse(R"({"matchExpressions":[{"key":"a","operator":"Gt","values":["1"]}]})"));
  CHECK(bad.status().message() == "\"Gt\" is not a valid label selector operator");
  auto back = parse_to_label_selector("a=b,c notin (d)");
  REQUIRE(back);
  CHECK(*back == Document::parse(R"({"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"NotIn","values":["d"]}]})"));
  CHECK(parse_to_label_selector("a>1").status().message() == "\"gt\" isn't supported in label selectors");
}

namespace {
struct FakeRequirement {
  std::string key, operator_;
  std::vector<std::string> values;
};
struct FakeSelector {
  std::map<std::string, std::string> match_labels;
  std::vector<FakeRequirement> match_expressions;
};
}  // namespace

TEST_CASE("the API's structs become selectors") {
  std::optional<FakeSelector> none;
  CHECK(LabelSelector::from_struct(none)->selects_nothing());
  std::optional<FakeSelector> some = FakeSelector{{{"a", "b"}}, {{"c", "Exists", {}}}};
  CHECK(LabelSelector::from_struct(some)->to_string() == "a=b,c");
}

TEST_CASE("label selectors are validated field by field") {
  auto errors = validate_label_selector(
      Document::parse(R"({"matchLabels":{"a":"-"},"matchExpressions":[
        {"key":"k","operator":"In"},{"key":"k","operator":"Exists","values":["v"]},{"key":"k","operator":"Near"}]})"),
      FieldPath("spec").child("selector"));
  REQUIRE(errors.size() == 4);
  CHECK(errors[0].field == "spec.selector.matchLabels");
  CHECK(errors[1].to_string() == "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'");
  CHECK(errors[2].to_string() ==
        "spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
  CHECK(errors[3].to_string() == "spec.selector.matchExpressions[2].operator: Invalid value: \"Near\": not a valid selector operator");
}

TEST_CASE("field selectors") {
  auto f = FieldSelector::parse("spec.nodeName!=n1,metadata.name=a");
  REQUIRE(f);
  CHECK(f->to_string() == "metadata.name=a,spec.nodeName!=n1");
  CHECK(f->requires_exact_match("metadata.name") == "a");
  CHECK_FALSE(f->requires_exact_match("spec.nodeName"));
  CHECK(f->matches({{"metadata.name", "a"}}));
  CHECK_FALSE(f->matches({{"metadata.name", "a"}, {"spec.nodeName", "n1"}}));
  CHECK(FieldSelector::parse("")->empty());
  CHECK(FieldSelector::parse(",,")->empty());
  CHECK(FieldSelector::parse("a==b")->to_string() == "a=b");
  CHECK(FieldSelector::parse("a=")->requires_exact_match("a") == "");
  auto escaped = FieldSelector::parse("a=x\\,y\\=z\\\\");
  REQUIRE(escaped);
  CHECK(escaped->requirements()[0].value == "x,y=z\\");
  CHECK(escaped->to_string() == "a=x\\,y\\=z\\\\");
  CHECK(FieldSelector::parse("a").status().message() == "invalid selector: 'a'; can't understand 'a'");
  CHECK(FieldSelector::parse("a=\\x").status().message() == "invalid field selector: invalid escape sequence: \\x");
  CHECK(FieldSelector::parse("a=b=c").status().message() == "invalid field selector: unescaped character in value: 61");
  CHECK(FieldSelector::parse("a=b\\").status().message() == "invalid field selector: invalid escape sequence: \\");
}
