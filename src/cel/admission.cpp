#include <onebin/cel/admission.hpp>

namespace onebin::cel {

// The types of what expressions see.
struct ExpressionCompiler::Types {
  Schemas pool;
  const Schema *any, *request, *ns;
  std::vector<SchemaField> variables;
  const Type *object = &types::dyn, *params = &types::dyn;

  Types() {
    const Schema* text = pool.scalar(Schema::Kind::String, types::string);
    const Schema* flag = pool.scalar(Schema::Kind::Bool, types::boolean);
    const Schema* number = pool.scalar(Schema::Kind::Int, types::integer);
    const Schema* time = pool.scalar(Schema::Kind::DateTime, types::timestamp);
    any = pool.scalar(Schema::Kind::Dyn, types::dyn);
    const Schema *texts = pool.list(text), *text_map = pool.map(text);
    const Schema* kind = pool.object("kubernetes.GroupVersionKind", {{"group", "", text}, {"version", "", text}, {"kind", "", text}});
    const Schema* resource = pool.object("kubernetes.GroupVersionResource", {{"group", "", text}, {"version", "", text}, {"resource", "", text}});
    const Schema* user = pool.object("kubernetes.UserInfo", {{"username", "", text}, {"uid", "", text}, {"groups", "", texts}, {"extra", "", pool.map(texts)}});
    request = pool.object("kubernetes.AdmissionRequest",
                          {{"kind", "", kind}, {"resource", "", resource}, {"subResource", "", text}, {"requestKind", "", kind},
                           {"requestResource", "", resource}, {"requestSubResource", "", text}, {"name", "", text}, {"namespace", "namespace", text},
                           {"operation", "", text}, {"userInfo", "", user}, {"dryRun", "", flag}, {"options", "", any}});
    const Schema* condition = pool.object("kubernetes.NamespaceCondition", {{"status", "", text}, {"type", "", text}, {"lastTransitionTime", "", time},
                                                                            {"message", "", text}, {"reason", "", text}});
    const Schema* metadata = pool.object(
        "kubernetes.NamespaceMetadata",
        {{"name", "", text}, {"generateName", "", text}, {"namespace", "namespace", text}, {"labels", "", text_map}, {"annotations", "", text_map},
         {"UID", "", text}, {"creationTimestamp", "", time}, {"deletionGracePeriodSeconds", "", number}, {"deletionTimestamp", "", time},
         {"generation", "", number}, {"resourceVersion", "", text}, {"finalizers", "", texts}});
    ns = pool.object("kubernetes.Namespace", {{"metadata", "", metadata},
                                              {"spec", "", pool.object("kubernetes.NamespaceSpec", {{"finalizers", "", texts}})},
                                              {"status", "", pool.object("kubernetes.NamespaceStatus", {{"conditions", "", pool.list(condition)}, {"phase", "", text}})}});
  }

  Environment environment(const Scope& scope) {
    Environment env;
    env.declare("object", object);
    env.declare("oldObject", object);
    env.declare("namespaceObject", ns->type);
    env.declare("request", request->type);
    if (scope.params) env.declare("params", params);
    if (scope.authorizer) {
      env.declare("authorizer", &types::authorizer);
      env.declare("authorizer.requestResource", &types::resource_check);
    }
    if (scope.variables) env.declare("variables", pool.object("kubernetes.variables", variables)->type);
    if (scope.patches) env.allow_patches();
    return env;
  }

  const Type* known(const Document& schema, std::string_view kind) {
    const Type* type = pool.from_openapi(schema, false, kind)->type;
    return type ? type : &types::dyn;
  }

  // What a variable's type is to others: objects and the like are dyn.
  const Schema* schema_of(const Type& t) {
    static const Type* const kBasic[] = {&types::boolean, &types::integer, &types::uinteger, &types::real, &types::string,
                                              &types::bytes, &types::timestamp, &types::duration, &types::null};
    for (const Type* basic : kBasic)
      if (basic->kind == t.kind) return pool.scalar(Schema::Kind::Dyn, *basic);
    if (t.kind == TypeKind::List) return pool.list(schema_of(*t.params[0]));
    if (t.kind == TypeKind::Map)
      return pool.scalar(Schema::Kind::Dyn, *pool.map_of(schema_of(*t.params[0])->type, schema_of(*t.params[1])->type));
    return any;
  }
};

ExpressionCompiler::ExpressionCompiler() : types_(std::make_shared<Types>()) {}
ExpressionCompiler::~ExpressionCompiler() = default;
std::shared_ptr<const void> ExpressionCompiler::types() const { return types_; }

void ExpressionCompiler::know_object(const Document& schema, std::string_view kind) { types_->object = types_->known(schema, kind); }
void ExpressionCompiler::know_params(const Document& schema, std::string_view kind) { types_->params = types_->known(schema, kind); }

namespace {

bool fits(const Type& t, ExpressionResult wanted) {
  switch (wanted) {
    case ExpressionResult::Bool: return t.kind == TypeKind::Bool;
    case ExpressionResult::Text: return t.kind == TypeKind::String;
    case ExpressionResult::TextOrNull: return t.kind == TypeKind::String || t.kind == TypeKind::Null;
    case ExpressionResult::JsonPatches: return t.kind == TypeKind::List && t.params[0]->name == "JSONPatch";
    case ExpressionResult::Configuration: return t.kind == TypeKind::Object && t.name == "Object";
    default: return true;
  }
}

const char* names_of(ExpressionResult wanted) {
  switch (wanted) {
    case ExpressionResult::Bool: return "bool";
    case ExpressionResult::Text: return "string";
    case ExpressionResult::TextOrNull: return "one of [string null_type]";
    case ExpressionResult::JsonPatches: return "list(JSONPatch)";
    default: return "Object";
  }
}

// As a type writes itself, which is not as messages of the checker show it.
std::string own_text(const Type& t) {
  if (t.params.empty()) return t.name;
  std::string out = t.name + "(";
  for (std::size_t i = 0; i < t.params.size(); ++i) out += (i ? ", " : "") + own_text(*t.params[i]);
  return out + ")";
}

}  // namespace

Expression ExpressionCompiler::compile(std::string_view text, const Scope& scope, ExpressionResult wanted) const {
  Expression e;
  e.text = text;
  auto program = cel::compile(text, types_->environment(scope));
  if (!program) {
    e.internal = program.reason() != Reason::Invalid;
    e.problem = (e.internal ? "program instantiation failed: " : "compilation failed: ") + program.status().message();
  } else if (!fits((*program)->result_type(), wanted)) {
    e.problem = "must evaluate to " + std::string(names_of(wanted)) + " but got " + own_text((*program)->result_type());
  } else {
    e.program = std::move(*program);
  }
  return e;
}

Expression ExpressionCompiler::add_variable(std::string_view name, std::string_view text, const Scope& scope) {
  Expression e = compile(text, scope, ExpressionResult::Any);
  const Schema* schema = e.program ? types_->schema_of(e.program->result_type()) : types_->any;
  std::erase_if(types_->variables, [&](const SchemaField& f) { return f.name == name; });
  types_->variables.push_back({std::string(name), std::string(name), schema});
  return e;
}

}  // namespace onebin::cel
