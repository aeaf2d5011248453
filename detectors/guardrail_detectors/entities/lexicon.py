"""Words that the claims of an answer are read with. English."""

from __future__ import annotations

COLOURS = {
    **{c: c for c in "red orange yellow green blue purple pink brown black white gray".split()},
    "grey": "gray", "violet": "purple", "maroon": "red", "crimson": "red", "scarlet": "red",
    "navy": "blue", "turquoise": "blue", "teal": "green", "beige": "brown", "tan": "brown",
    "golden": "yellow", "gold": "yellow", "silver": "gray", "magenta": "pink", "cyan": "blue",
}  # fmt: skip
SHADES = frozenset("light dark bright pale deep vivid mostly partly all very".split())

NUMBERS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen "
        "fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
}
DETERMINERS = frozenset(
    "a an the this that these those some another each every both his her its their my your our "
    "several many few various numerous multiple other two's".split()
)
DEFINITE = frozenset("the this that these those his her its their my your our both".split())

# Words that never stand inside a noun phrase: it ends before them.
PREPOSITIONS = frozenset(
    "of in on at by with from to into onto over under above below behind beside besides between "
    "among near next across along around through inside outside beneath underneath toward "
    "towards against off up down for about during within upon atop past via per amid amidst "
    "opposite beyond alongside throughout as than like".split()
)
CONJUNCTIONS = frozenset(
    "and or but nor while whereas although though because so yet & plus".split()
)
PRONOUNS = frozenset(
    "i you he she it we they me him us them who whom whose which what where when why how there "
    "here one someone something anyone anything everyone everything nobody nothing none himself "
    "herself itself themselves that's it's there's".split()
)
AUXILIARIES = frozenset(
    "is are was were be been being am has have had having do does did done doing can could may "
    "might must shall should will would isn't aren't wasn't weren't doesn't don't didn't can't "
    "cannot couldn't won't wouldn't hasn't haven't".split()
)
ADVERBS = frozenset(
    "not very also just only even too quite rather almost clearly visibly slightly partially "
    "partly fully mostly mainly nearly directly together apart away ahead nearby close currently "
    "still already then now perhaps possibly maybe probably likely apparently seemingly evidently "
    "presumably potentially prominently likewise otherwise therefore however overall additionally "
    "finally furthermore moreover meanwhile instead neatly closely carefully happily peacefully "
    "casually outdoors indoors upward downward forward backward well again least never always "
    "often usually typically sometimes generally all any no neither either everywhere "
    "somewhere".split()
)
# Verbs of descriptions that could be taken for nouns; with -s and, where regular, -ed.
_VERBS = (
    "sit stand hold wear look play eat ride walk run lie lay carry drive fly jump show appear seem "
    "feature include contain depict display capture suggest indicate create add give make take "
    "surround cover face lean hang rest point reach pull push throw catch hit swing grab touch "
    "smile laugh talk speak watch see wait cross pass move go come fill line occupy share enjoy "
    "prepare cook serve pour drink read write use work extend stretch rise grow shine reflect cast "
    "convey evoke imply say tell describe provide offer remain stay keep let get put set form "
    "consist depend allow help need want try begin start stop turn follow lead bring gather "
    "relax sleep graze swim float sail dance sing pose travel attach connect belong represent "
    "illustrate highlight showcase emphasize accompany overlook resemble match blend "
    "complement enhance "
    "sell forbid prohibit ban warn state claim dominate range vary differ "
    "happen occur exist live love like have be do rests"
).split()
_IRREGULAR = (
    "sat stood held wore worn ate eaten rode ridden ran lay lain drove driven flew flown threw "
    "thrown caught swung spoke saw seen went gone came grew grown shone said told kept got set "
    "led brought slept swam sang made took taken gave given hung built found shown parked placed "
    "located positioned situated seated dressed engaged visible present scattered filled lined "
    "painted decorated adorned equipped mounted stacked arranged based focused topped made "
    "featured captured taken surrounded covered tied lit seen used wearing".split()
)


def _forms(verb: str) -> set[str]:
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return {f"{verb[:-1]}ies", f"{verb[:-1]}ied"}
    s = f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else f"{verb}s"
    return {s, f"{verb}d" if verb.endswith("e") else f"{verb}ed"}


_ALSO_NOUNS = frozenset(
    "faces lines covers shows plays turns stops drinks watches swings works looks forms passes "
    "crosses pulls casts lights rides runs catches matches sets uses rests points cooks "
    "stands dances reads needs loves walks fills".split()
)
VERBS = frozenset(form for verb in _VERBS for form in _forms(verb)) | frozenset(_IRREGULAR)
BARE_VERBS = frozenset(_VERBS)
NOUNS_IN_ING = frozenset(
    "building ceiling painting clothing railing awning ring wing string king swing lighting "
    "dining parking crossing wedding evening morning frosting icing earring siding flooring "
    "clearing landing bedding drawing lightning duckling sling spring pudding".split()
)

# Heads that name no thing to be looked for in a picture.
ABSTRACT = frozenset(
    "image picture photo photograph scene view shot snapshot frame background foreground "
    "backdrop setting environment surroundings atmosphere mood feel feeling sense vibe ambiance "
    "ambience area space side left right top bottom middle center centre corner edge end front "
    "back part portion half section distance direction position variety range number amount "
    "group bunch couple pair set row line lot collection series array mix combination kind type "
    "sort style way manner look appearance impression touch hint focus subject theme topic title "
    "caption description detail element feature aspect object item thing stuff entity example "
    "color colour shade tone hue pattern texture shape size height width length depth contrast "
    "angle perspective composition moment time day night morning evening afternoon season "
    "weather event occasion activity action task job work life experience adventure journey "
    "conversation game play movement motion pace speed energy fun joy love peace beauty charm "
    "elegance comfort safety attention interest purpose reason cause result effect impact role "
    "use function need fact idea thought concept story history culture tradition nature world "
    "reality place location spot point level presence absence lack possibility chance answer "
    "question text word letter sign's name brand information context content evidence indication "
    "case situation condition state process system fashion majority rest remainder whole variety "
    "total sum date price quantity quality value order addition contrast display arrangement "
    "close-up closeup overview glimpse meal lunch dinner breakfast party service traffic crowd "
    "someone anyone people's others other one ones two three everything nothing something "
    "excitement amusement enjoyment scheme colour-scheme expression smile attire outfit company "
    "sunny light sunlight shadow reflection noise sound smell air heat cold help "
    "i you he she it we they".split()
)
ABSTRACT_ENDINGS = ("ness", "ity", "ism", "ance", "ence", "ship", "hood", "tude")
_ENDING_BUT_THING = frozenset("city entrance ambulance fence audience appliance ship".split())

COLLECTIVES = frozenset(
    "group bunch couple pair set row lot collection series array number variety cluster herd "
    "flock crowd stack pile slice piece type kind sort dozen selection assortment line team "
    "handful majority part portion".split()
)
PICTURES = frozenset("image picture photo photograph scene view shot snapshot close-up".split())
DEPICTIONS = frozenset(
    "painting statue drawing sculpture poster logo figurine sticker mural print sketch carving "
    "portrait silhouette illustration cartoon model replica reflection shadow outline icon "
    "emblem image picture photo photograph".split()
)
UNREAL = frozenset(
    "toy stuffed fake plush cardboard inflatable ceramic miniature imaginary fictional "
    "artificial porcelain origami lego cartoon animated "
    "so-called virtual hypothetical invisible missing absent nonexistent non-existent".split()
)

_IRREGULAR_PLURALS = {
    "people": "person", "tvs": "tv",
    "men": "man", "women": "woman", "children": "child", "mice": "mouse",
    "geese": "goose", "feet": "foot", "teeth": "tooth", "oxen": "ox", "knives": "knife",
    "leaves": "leaf", "loaves": "loaf", "wolves": "wolf", "shelves": "shelf", "calves": "calf",
    "scarves": "scarf", "halves": "half", "wives": "wife", "buses": "bus", "skis": "ski",
    "sheep": "sheep", "deer": "deer", "fish": "fish", "cattle": "cattle", "scissors": "scissors",
    "glasses": "glasses", "pants": "pants", "jeans": "jeans", "shorts": "shorts",
    "headphones": "headphones", "sunglasses": "sunglasses", "firemen": "fireman",
    "policemen": "policeman", "snowmen": "snowman", "gas": "gas", "bus": "bus", "glass": "glass",
    "tennis": "tennis", "lens": "lens", "canvas": "canvas", "cactus": "cactus",
    "cacti": "cactus", "grass": "grass", "dress": "dress", "mattress": "mattress",
    "cross": "cross", "chess": "chess", "clothes": "clothes", "stairs": "stairs",
    "batteries": "battery", "movies": "movie", "cookies": "cookie", "ties": "tie", "pies": "pie",
    "shoes": "shoe", "canoes": "canoe", "axes": "axe", "horses": "horse", "houses": "house",
    "vases": "vase", "nurses": "nurse", "roses": "rose", "noses": "nose", "purses": "purse",
    "cases": "case", "suitcases": "suitcase", "bases": "base", "hoses": "hose",
}  # fmt: skip


def singular(word: str) -> str:
    """One of it."""
    if word in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[word]
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes", "oes")):
        return word[:-2]
    return word[:-1]


_PLURALS = {one: many for many, one in _IRREGULAR_PLURALS.items() if one != many}


def plural(noun: str) -> str:
    """More than one of it; of a name of several words the last is put into the plural."""
    rest, _, head = noun.rpartition(" ")
    if head in _PLURALS:
        many = _PLURALS[head]
    elif head in _IRREGULAR_PLURALS and head not in ("glass", "bus", "cross", "dress", "cactus"):
        many = head
    elif head.endswith("y") and head[-2:-1] not in "aeiou":
        many = f"{head[:-1]}ies"
    else:
        many = f"{head}es" if head.endswith(("s", "sh", "ch", "x", "z")) else f"{head}s"
    return f"{rest} {many}".strip()


def is_plural(word: str) -> bool:
    """Whether the word means more than one of it."""
    one = singular(word)
    return one != word or word in ("sheep", "deer", "fish", "cattle")


def is_abstract(noun: str) -> bool:
    """Whether the noun names nothing that could be looked for."""
    head = noun.rpartition(" ")[2]
    return head in ABSTRACT or (head.endswith(ABSTRACT_ENDINGS) and head not in _ENDING_BUT_THING)


def may_be_verb(word: str) -> bool:
    """Whether the word is a verb or a plural, as its neighbours say."""
    return word in _ALSO_NOUNS


def is_verb(word: str) -> bool:
    """Whether the word ends a noun phrase as a verb does."""
    if word.endswith("ing"):
        return word not in NOUNS_IN_ING and len(word) > 4
    return word in VERBS and word not in _ALSO_NOUNS


ADJECTIVES = frozenset(
    "large small big little tiny huge tall short long wide narrow thick thin old young new modern "
    "ancient vintage classic traditional beautiful pretty lovely cute handsome elegant stylish "
    "bright dark light clear cloudy sunny rainy snowy foggy dry wet clean dirty empty full open "
    "closed happy sad calm quiet busy lively vibrant colorful colourful warm cool cold hot fresh "
    "ripe raw cooked delicious tasty wooden metal metallic plastic stone brick concrete leather "
    "striped checkered spotted plain patterned round square rectangular circular curved straight "
    "flat smooth rough soft hard heavy light-colored grassy sandy rocky lush green-and-white "
    "visible present alone ready able several similar different same various main first second "
    "third last next nearby distant close far left-hand right-hand top-right top-left serene "
    "cozy comfortable spacious rustic casual formal professional natural urban rural indoor "
    "outdoor residential commercial public private single double entire overall possible "
    "noticeable prominent unique interesting impressive stunning scenic picturesque peaceful "
    "playful focused relaxed excited curious alert content bare shiny glossy transparent opaque "
    "fluffy furry fuzzy hairy slim sleek curly blonde bald smiling well-lit in-depth true false "
    "low high deep shallow strong weak good nice great fine bad real certain own such whole half "
    "closer further farther more less neat atmospheric better worse bigger larger "
    "smaller taller lit unlit written let".split()
)
ADJECTIVE_ENDINGS = ("ful", "ous", "ive", "able", "ible", "less", "ish", "most", "wards", "ly")
_ENDING_BUT_NOUN = frozenset(
    "table vegetable cable radish fish jellyfish dish goldfish fly butterfly family belly jelly "
    "trolley dragonfly starfish olive teaspoonful lily bully".split()
)

# Common things: words that are taken for things even without an article before them.
THINGS = frozenset(
    "person man woman child boy girl baby player rider driver chef dog puppy cat kitten horse cow "
    "sheep bird elephant bear zebra giraffe lion tiger monkey rabbit duck chicken pig goat fish "
    "snake spider butterfly car truck bus train tram bicycle bike motorcycle scooter airplane "
    "plane helicopter boat ship van taxi wagon house building tower bridge church castle road "
    "street sidewalk fence wall door window roof tree bush flower grass plant leaf rock mountain "
    "hill river lake ocean beach sand snow ice sky cloud sun moon star rainbow water fire chair "
    "couch sofa bed table desk bench shelf cabinet drawer lamp rug carpet curtain pillow blanket "
    "mirror clock vase candle book newspaper magazine pen pencil paper laptop computer keyboard "
    "mouse monitor television tv remote phone camera microphone guitar piano drum violin ball "
    "bat glove racket frisbee kite skateboard surfboard snowboard ski helmet hat cap shirt "
    "t-shirt dress skirt jacket coat sweater suit tie scarf shoe boot sock watch bag backpack "
    "handbag purse suitcase umbrella cup mug glass bottle plate bowl fork knife spoon pot pan "
    "oven stove microwave toaster refrigerator fridge sink toilet bathtub shower towel toothbrush "
    "pizza sandwich burger cake donut cookie bread egg cheese apple banana orange lemon grape "
    "strawberry cherry pear carrot broccoli tomato potato onion salad soup rice pasta sausage "
    "coffee tea beer wine juice milk sign billboard poster flag balloon toy doll robot ladder "
    "hammer key lock scissors rope chain wheel tire traffic signal hydrant meter pole "
    "circle square triangle heart arrow diamond ring cross hexagon oval mushroom lollipop padlock "
    "bell envelope glasses snowman ghost crown anchor cactus skull lightning".split()
)


# Names of two words whose last alone, or whose first as an adjective, would mislead.
COMPOUNDS = frozenset(
    "traffic light,street light,stop light,stop sign,street sign,road sign,hot dog,fire hydrant,"
    "ice cream,cell phone,mobile phone,parking meter,dining table,coffee table,wine glass,"
    "potted plant,teddy bear,stuffed animal,sports ball,tennis ball,baseball bat,baseball glove,"
    "tennis racket,hair drier,hair dryer,fire truck,fire engine,pickup truck,school bus,"
    "double-decker bus,remote control,computer mouse,polar bear,black bear,brown bear,panda bear,"
    "orange juice,green bean,living room,snow man,light bulb,lightning bolt,palm tree".split(",")
)


def is_adjective(word: str) -> bool:
    """Whether the word alone names no thing."""
    if word in ADJECTIVES or word in COLOURS or word in SHADES or word in UNREAL:
        return True
    return word.endswith(ADJECTIVE_ENDINGS) and word not in _ENDING_BUT_NOUN
