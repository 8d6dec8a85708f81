// Handles, objects and memory faults of marshal: what Lua specs cannot reach.
#include "tests/unit/check.h"
#include "core/base/mem.h"
#include "core/data/frame.h"
#include "lua/bind/bind.h"
#include "lua/bind/marshal.h"
#include "lua/bind/object_box.h"
#include "lua/bind/vm.h"

#include <stdlib.h>

// A handle in these tests is a table of class "handle" with its id at [1].
static bool is_handle(void *ctx, lua_State *L, int idx, uint64_t *id)
{
    ++*(int *)ctx;
    if (!lua_istable(L, idx) || lua_rawgeti(L, idx, 1) != LUA_TNUMBER) {
        return false;
    }
    *id = (uint64_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return true;
}

static void run(lua_State *L, const char *code)
{
    if (luaL_dostring(L, code) != LUA_OK) {
        CHECK_STR(lua_tostring(L, -1), "no error");
    }
}

static lua_State *state_with_handles(void)
{
    lua_State *L = fr_vm_new(NULL);
    run(L, "function h(id) return setmetatable({id}, {}) end");
    return L;
}

static fr_value *packed(lua_State *L, marshal *m, const char *expression)
{
    char code[512];
    (void)snprintf(code, sizeof code, "return %s", expression);
    run(L, code);
    fr_err err = FR_ERR_INIT;
    marshal_clear(m);
    int rc = marshal_pack(L, -1, "value", m, &err);
    CHECK_STR(err.text, "");
    CHECK_INT(rc, FR_OK);
    lua_settop(L, 0);
    return fr_value_new(m->out.data, m->out.size, m->object, m->objects);
}

static void handles_become_slots_by_first_appearance(void)
{
    lua_State *L = state_with_handles();
    int asked = 0;
    marshal m;
    marshal_init(&m, 1 << 20);
    m.handle = is_handle;
    m.ctx = &asked;
    // Whatever the order inside Lua's table, x comes before y.
    fr_value *v = packed(L, &m, "{y = h(7), x = {h(9), h(7), h(9)}}");
    CHECK_INT(v->handles, 2);
    CHECK_INT(m.deps, 2);
    CHECK_INT(m.dep[0], 9);
    CHECK_INT(m.dep[1], 7);
    CHECK(asked >= 4);
    fr_value *deps[] = {fr_value_text("nine", 4), fr_value_int(7)};
    marshal_push(L, v, deps, 2);
    lua_setglobal(L, "got");
    run(L, "assert(got.y == 7 and got.x[1] == 'nine' and got.x[2] == 7 and got.x[3] == "
           "'nine')");
    fr_value *same = NULL;
    CHECK_INT(fr_value_parse(v->bytes, v->size, NULL, 0, &same, NULL), FR_OK);
    fr_value_unref(same);
    fr_value_unref(deps[0]);
    fr_value_unref(deps[1]);
    fr_value_unref(v);
    marshal_fini(&m);
    lua_close(L);
}

static void many_handles_are_found_again(void)
{
    lua_State *L = state_with_handles();
    int asked = 0;
    marshal m;
    marshal_init(&m, 1 << 20);
    m.handle = is_handle;
    m.ctx = &asked;
    run(L, "t = {} for i = 1, 1000 do t[i] = h(i % 500 + 1000) end");
    fr_value *v = packed(L, &m, "{t, t}");
    CHECK_INT(v->handles, 500);
    CHECK_INT(m.dep[0], 1001);
    CHECK_INT(m.dep[499], 1000);
    fr_value_unref(v);
    marshal_fini(&m);
    lua_close(L);
}

static void a_missing_dependency_is_an_error(void)
{
    lua_State *L = state_with_handles();
    static const uint8_t bytes[] = {6, 1, 8, 0, 0};
    fr_value *v = fr_value_new(bytes, sizeof bytes, NULL, 0);
    fr_value **slot = marshal_box(L);
    *slot = v;
    lua_setglobal(L, "v");
    run(L, "ok, err = pcall(v.unpack, v) assert(not ok and err.code == 'corrupt')");
    lua_close(L);
}

static fr_frame *frame_of(double x)
{
    fr_array *a = NULL;
    fr_frame *f = NULL;
    const char *const names[] = {"x"};
    CHECK_INT(fr_array_new((fr_type){.kind = FR_FLOAT64}, 1, 0, &a, NULL), FR_OK);
    memcpy(a->values->data, &x, sizeof x);
    CHECK_INT(fr_frame_new(1, names, &a, &f, NULL), FR_OK);
    fr_array_unref(a);
    return f;
}

static void frames_pass_by_reference(void)
{
    lua_State *L = state_with_handles();
    marshal m;
    marshal_init(&m, 1 << 20);
    fr_frame *one = frame_of(1), *two = frame_of(2), *twin = frame_of(1);
    const fr_frame *all[] = {one, two, twin};
    const char *const names[] = {"one", "two", "twin"};
    for (size_t i = 0; i < 3; i++) {
        bind_object_push(L, &all[i]->object);
        lua_setglobal(L, names[i]);
    }
    fr_value *v = packed(L, &m, "{z = one, a = two, m = {one, twin}}");
    CHECK_INT(v->objects, 2); // equal content is one object
    CHECK(v->object[0] == &two->object);
    CHECK(v->object[1]->ops == &fr_frame_ops);
    marshal_push(L, v, NULL, 0);
    lua_setglobal(L, "got");
    run(L, "assert(got.z == one and got.a == two and got.m[2] == one and #got.m == 2)");
    fr_value *copy = NULL;
    CHECK_INT(fr_value_parse(v->bytes, v->size, v->object, v->objects, &copy, NULL),
              FR_OK);
    CHECK(copy != NULL && fr_hash_eq(copy->hash, v->hash));
    fr_value_unref(copy);
    fr_value_unref(v);
    marshal_fini(&m);
    fr_frame_unref(one);
    fr_frame_unref(two);
    fr_frame_unref(twin);
    lua_close(L);
}

static void one_object_has_one_box(void)
{
    lua_State *L = state_with_handles();
    fr_frame *f = frame_of(1);
    bind_object_push(L, &f->object);
    bind_object_push(L, &f->object);
    CHECK(lua_rawequal(L, 1, 2));
    CHECK_INT(atomic_load(&f->object.refs), 2);
    lua_setglobal(L, "f");
    run(L, "do local closed <close> = f end");       // its box is empty now
    bind_object_push(L, &f->object);
    CHECK(!lua_rawequal(L, 1, -1));
    CHECK(bind_object_test(L, -1) == &f->object);
    lua_close(L);
    CHECK_INT(atomic_load(&f->object.refs), 1);
    fr_frame_unref(f);
}

static void size_is_limited_with_the_place(void)
{
    lua_State *L = state_with_handles();
    marshal m;
    fr_err err = FR_ERR_INIT;
    marshal_init(&m, 1000);
    run(L, "return 1, {('x'):rep(2000)}");
    CHECK_INT(marshal_pack_list(L, 1, 2, "argument", &m, &err), FR_ELIMIT);
    CHECK(strstr(err.text, "argument 2 is larger than 1000 bytes") != NULL);
    marshal_clear(&m);
    CHECK_INT(marshal_pack(L, 1, "value", &m, &err), FR_OK);
    marshal_fini(&m);
    lua_close(L);
}

// --- Lua's allocator fails at the n-th request ---

typedef struct fault {
    size_t count, fail_at; // 0 = never
} fault;

static void *faulty(void *ctx, void *p, size_t old, size_t size)
{
    fault *f = ctx;
    if (size == 0) {
        free(p);
        return NULL;
    }
    if ((p == NULL || size > old) && ++f->count >= f->fail_at && f->fail_at > 0) {
        return NULL;
    }
    return realloc(p, size);
}

static int round_trip(lua_State *L)
{
    const fr_value *v = *(fr_value **)lua_touserdata(L, 1);
    marshal *m = marshal_scratch(L);
    fr_err err = FR_ERR_INIT;
    marshal_push(L, v, NULL, 0);
    fr_value **slot = marshal_box(L);
    int rc = marshal_value(L, -2, "value", m, slot, &err);
    if (rc != FR_OK) {
        return bind_raise(L, rc, &err);
    }
    lua_pushboolean(L, fr_hash_eq((*slot)->hash, v->hash));
    return 1;
}

static void every_allocation_may_fail(void)
{
    lua_State *source = fr_vm_new(NULL);
    marshal m;
    marshal_init(&m, 1 << 20);
    fr_value *v =
        packed(source, &m,
               "{1, 2, {a = 'some text that is longer than forty characters, surely',"
               " b = {{{}}}, [2.5] = true}, name = 'x', list = {1, 2, 3, 4, 5, 6, 7}}");
    marshal_fini(&m);
    lua_close(source);
    size_t failures = 0;
    for (size_t n = 1;; n++) {
        fault f = {0};
        lua_State *L = lua_newstate(faulty, &f);
        f.count = 0;
        f.fail_at = n;
        lua_pushcfunction(L, round_trip);
        lua_pushlightuserdata(L, &v);
        int rc = lua_pcall(L, 1, 1, 0);
        bool reached = f.count >= n;
        f.fail_at = 0;
        if (rc == LUA_OK) {
            CHECK(lua_toboolean(L, -1));
        }
        failures += rc != LUA_OK;
        lua_close(L);
        if (!reached) {
            break;
        }
    }
    CHECK(failures > 20);
    CHECK_INT(atomic_load(&v->refs), 1);
    fr_value_unref(v);
}

int main(void)
{
    CASE(handles_become_slots_by_first_appearance);
    CASE(many_handles_are_found_again);
    CASE(a_missing_dependency_is_an_error);
    CASE(frames_pass_by_reference);
    CASE(one_object_has_one_box);
    CASE(size_is_limited_with_the_place);
    CASE(every_allocation_may_fail);
    return check_end();
}
